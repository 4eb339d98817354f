"""The encoding of files that are not UTF-8 shows in the names of their columns and amounts."""

from __future__ import annotations

import pytest

from flows.setup.encoding_detection import detect_encoding

NAMES = {
    "cp1252": "N° commande;Client;Date de paiement;Montant payé",
    "mac_roman": "N° commande;Client;Date de paiement;Montant payé",
    "cp850": "Bestellnr.;Kunde;Datum;Größe;Gesamtbetrag",
    "cp1250": "Nr zamówienia;Klient;Data zakupu;Wartość",
    "iso8859_2": "Nr zamówienia;Klient;Data zakupu;Wartość",
    "cp1251": "Номер заказа;Клиент;Дата заказа;Сумма",
    "koi8_r": "Номер заказа;Клиент;Дата заказа;Сумма",
    "cp866": "Номер заказа;Клиент;Дата заказа;Сумма",
    "shift_jis": "注文番号;顧客ID;注文日;合計金額",
    "euc_jp": "注文番号;顧客ID;注文日;合計金額",
    "gb18030": "订单号;客户编号;下单日期;金额",
    "cp949": "주문번호;고객번호;주문일자;금액",
}


@pytest.mark.parametrize("encoding", NAMES)
def test_a_few_names_of_columns_suffice(encoding: str) -> None:
    text = f"Export\n{NAMES[encoding]}\n17;42;2023-05-04;12,50\n"
    detected = detect_encoding(text.encode(encoding), cut=False)
    assert text.encode(encoding).decode(detected) == text


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "mac_roman"])
@pytest.mark.parametrize("amount", ["£12.50", "£ 1,012.50"])
def test_signs_of_money_beside_digits(encoding: str, amount: str) -> None:
    text = f"order,customer,day,amount\n17,42,2023-05-04,{amount}\n"
    detected = detect_encoding(text.encode(encoding), cut=False)
    assert text.encode(encoding).decode(detected) == text


def test_letters_beside_words_are_letters() -> None:
    text = "Klient;Login;Koszt dostawy\n2022/000000;anna;12,99 zł\n2022/000001;jan;9,50 zł\n"
    detected = detect_encoding(text.encode("cp1250"), cut=False)
    assert text.encode("cp1250").decode(detected) == text
