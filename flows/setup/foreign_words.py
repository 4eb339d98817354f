"""Words of columns and order states in languages other than English.

Names are compared without accents, in lower case, with `_` between words (`column_synonyms`).
"""

from __future__ import annotations

_LINK = "(?:de|du|des|da|do|dos|das|del|della|dell|di|d|la|le|el|van|der|des|l|of|z)_"
_ID = (
    "(?:id|identifiant|identificador|identificativo|no|nr|n|num|numero|nummer|numer|cislo|code"
    "|codigo|codice|kod|login|numarasi|номер|код|番号|コード|编号|編號|号|번호|아이디"
    "|azonosito(?:ja)?|szam|szama|sorszam|αριθμος|κωδικος|رقم|מספר|ma|so|nomor|kode|broj|numar|cod|รหัส|เลขที่|หมายเลข|שם|reference|referencia|riferimento|referenz|ref)"
)
_PERSON = (
    "(?:odberatel|kupujacy|kupujacego|nabywca|nabywcy|client|cliente|clienti|clientes|kunde|kunden|klant|klanten|klient|klienta|kund|kundens"
    "|asiakas|zakaznik|zakaznika|musteri|acheteur|comprador|acquirente|membre|miembro|membro|socio"
    "|kontakt|contacto|contatto|contato|compte|cuenta|conta|kunde_?konto|konto|relatie|patient|paciente|paziente"
    "|adherent|donateur|donante|doador|utilisateur|usuario|utente|клиент|клиента|покупатель"
    "|покупателя|заказчик|пользователь|пользователя|顧客|会員|お客様|ユーザー|購入者|客户|客戶|用户|會員"
    "|会员|买家|고객|회원|사용자|구매자"
    "|vevo|vevoi|vasarlo|ugyfel|megrendelo|πελατης|πελατη|العميل|عميل|الزبون|לקוח|הלקוח|клієнт|клієнта|покупець"
    "|khach_hang|pelanggan|pembeli|kupac|kupca|narucitelj|cumparator|famiglia|famille|familia|familie|haushalt|nucleo|(?:beguenstigter|begunstigter|auftraggeber|empfanger)(?:_(?:zahlungspflichtiger|empfanger))?|zahlungspflichtiger|tegenrekening|tegenpartij|ordonnateur|beneficiario|ordenante|eleves?|etudiant|apprenant|alumn[oa]|alun[oa]|allievo|alliev[ai]|schuler|leerling|uczen|ogrenci|ucenik|hallgato|tanulo|benevole|stranka|zakaznika|pacienta?|收货人|收件人"
    "|kursant|pasazer|uczestnik|pacjent|platnik|kontrahent|titular|abonado|huesped|pasajero|afiliado"
    "|abonne|passager|titulaire|usager|fahrgast|gast|mitglied|spender|abonnent|teilnehmer|lid|deelnemer"
    "|abonnee|abbonato|passeggero|ospite|iscritto|tesserato|intestatario|passageiro|hospede|assinante"
    "|associado|medlem|jasen|potilas|matkustaja|tilaaja|주문자|수강생|환자|이용자|예약자|患者|生徒|利用者"
    "|注文者|予約者|受講者|学员|乘客|住户|买方|hoc_vien|benh_nhan|thanh_vien|hoi_vien|nguoi_mua|anggota|pasien"
    "|siswa|penumpang|nasabah|uye|hasta|yolcu|alici|abone|المشترك|المريض|العضو|الطالب|المتبرع|المشتري"
    "|מנוי|מטופל|תלמיד|תורם|חבר|קונה|מזמין|пациент|абонент|ученик|пассажир|гость|контрагент|плательщик"
    "|пацієнт|ลูกค้า|สมาชิก|ผู้ซื้อ|ผู้ป่วย|นักเรียน|ผู้โดยสาร|ग्राहक|सदस्य|मरीज|छात्र|μελος|ασθενης|paciens|utas"
    "|beteg|elofizeto|cestujici|clen|abonat|membru|pasager|مشتری)"
)
_ORDER = (
    "(?:commande|facture|achat|vente|pedido|compra|venta|venda|factura|fatura|encomenda|ordine"
    "|ordini|fattura|vendita|acquisto|bestellung|bestell|bestel|bestelling|auftrag|rechnung|beleg|kauf"
    "|factuur|aankoop|zamowienie|zamowienia|faktura|faktury|zakup|zakupu|sprzedaz|sprzedazy|ordre"
    "|bestallning|kop|tilaus|objednavka|objednavky|doklad|dokladu|siparis|satis|заказ|заказа|чек|чека|покупка"
    "|покупки|продажа|продажи|注文|購入|受注|売上|レシート|伝票|订单|訂單|下单|下單|付款|购买|交易|주문|구매|결제"
    "|rendeles|szamla|vasarlas|παραγγελια|παραγγελιας|τιμολογιο|αποδειξη|الطلب|طلب|الفاتورة|فاتورة|הזמנה|חשבונית"
    "|замовлення|рахунок|don_hang|hoa_don|phieu|คำสั่งซื้อ|ใบเสร็จ|บิล|المستند|מסמך|קבלה|varaus|rezervace|rezervasyon|rezerwacja|varausten|pesanan|faktur|transaksi|narudzba|narudzbe|racun|racuna|comanda|comenzii)"
)
_DATE = (
    "(?:date|fecha|data|datum|dato|paiva|tarih|tarihi|dia|jour|giorno|dag|dzien|den|hora|heure|дата"
    "|время|день|日付|日時|日|年月日|时间|時間|日期|날짜|일시|일자|일"
    "|datuma|วันที่|เวลา|วันเวลา|thoi_gian|दिनांक|तारीख|تاریخ|pvm|ajankohta|kuupaev|datums|kelte|idopont|ημερομηνια|التاريخ|تاريخ|תאריך|ngay|tanggal|waktu)"
)
_MONEY = (
    "(?:montant|somme|prix_total|importe|monto|total|valor|valor_total|preco_total|precio_total"
    "|importo|totale|prezzo_totale|betrag|summe|umsatz|gesamtbetrag|gesamtpreis|bedrag|totaal|omzet"
    "|cuota|cotisation|beitrag|mensualite|mensualidad|mensalidade|canone|maandbedrag|skladka|arvode"
    "|kwota|suma|wartosc|belopp|belob|summa|castka|celkem|cena_celkem|tutar|toplam|сумма|стоимость"
    "|выручка|итого|金額|売上|合計|金额|總額|总额|总价|价钱|金額合計|금액|총액|합계"
    "|osszeg|osszege|vegosszeg|fizetendo|brutto_ar|osszesen|ποσο|συνολο|αξια|المبلغ|مبلغ|الإجمالي|المجموع|סכום|сума"
    "|вартість|всього|tong_tien|thanh_tien|so_tien|jumlah|total_harga|iznos|ukupno|suma_totala|valoare"
    "|סך_הכל|סה_כ|סך|القيمة|الصافي|الاجمالي|ยอดรวม|ยอดเงิน|รวมเงิน|จำนวนเงิน|ราคารวม|ยอดสุทธิ|ยอดชำระ|राशि|कुल|मूल्य"
    "|tutari|bedeli?|ucreti?|naleznosc|wplacono|wplata|razem|do_zaplaty|zaplaceno|uhrazeno|k_uhrade"
    "|loppusumma|veloitus|yhteensa|kokku|znesek|fizetett|nominal|total_bayar|khach_da_tra|khach_can_tra"
    "|tong_cong|tong_thanh_toan|料金|支払額|支払金額|代金|实收|应收|实付款|요금|매출액?"
    "|총?_?(?:주문|결제|구매|판매)_?(?:금액|가격|총액))"
)
_PAID = (
    "(?:total|totale|ttc|ht|paye|payee|pago|pagado|pagato|betaald|netto|brutto|commande|pedido"
    "|ordine|заказа|покупки|к_оплате|合計|税込|決済|支払|实付|實付|支付|订单|注文|購入|결제|주문|구매)"
)

CUSTOMER = (
    rf"(?:{_ID}_(?:{_LINK})*)?{_PERSON}(?:_?{_ID})?",
    rf"{_PERSON}_(?:{_LINK})*{_ID}",
    rf"(?:اسم|שם|ten|nama|ime|nume|nombre|nom|nome|naam|navn|имя|имя|ονομα)_(?:{_LINK})*{_PERSON}",
    "naam|navn|namn|nimi|maksaja|priimek_in_ime|ime_in_priimek|imie_i_nazwisko|ime_i_prezime"
    "|nom_et_prenom|nom_prenom|nombre_y_apellidos?|cognome_e_nome|nachname_vorname",
    rf"{_PERSON}_(?:neve|nev|naam|navn|namn|jmeno|nazwa|имя|adi|ονομα)",
    rf"{_PERSON}_?(?:名前?|氏名|姓名|名称|様|이름|명)",
)
TIME = (
    rf"{_DATE}(?:_(?:{_LINK})*{_ORDER})?|{_ORDER}_?{_DATE}",
    rf"(?:买家|{_ORDER})?_?(?:创建|支付|付款|成交){_DATE}",
    rf"{_DATE}_(?:{_LINK})*\w+",
    r"(?:tilaus|varaus|osto|maksu|myynti|lasku|kirjaus|order|ordre|bestallnings|kop|kops|salgs|kjops"
    r"|betalnings|betalings|faktura|boknings|bestel|aankoop|incasso|betaal|boekings|factuur|behandlungs"
    r"|rechnungs|beleg|zahlungs|verkaufs)_?(?:paiva|pvm|datum|dato|datumet|tidspunkt|aika)",
)
ORDER = (rf"(?:{_ID}_(?:{_LINK})*)?{_ORDER}(?:_?{_ID})?", rf"{_ORDER}_(?:{_LINK})*{_ID}")
_TAXED = "(?:inkl|incl|inc|exkl|excl|inklusive|exklusive|mit|ohne|avec|hors|con|sin|med|utan|z|bez)"
# Documents by which money goes back.
CREDIT_NOTE = (
    "avoir|nota_(?:de_|di_)?(?:cr[eé]dito|abono)|abono|kreditnota|creditnota|korekta|dobropis"
    "|rechnungskorrektur|кредит|возврат|返品|返金|赤伝"
)
VALUE = (
    rf"{_MONEY}(?:_(?:{_LINK})*{_PAID})?|{_PAID}_?{_MONEY}",
    rf"{_MONEY}_{_TAXED}_\w+",
    rf"(?:\w+_)?{_MONEY}(?:_\w+)?|\w*(?:betrag|summe|belopp|belob|bedrag|summa|hinta|osszeg|金額|金额|금액)",
    rf"{_ORDER}_?{_MONEY}|\w+_총_?(?:주문|결제)_?금액",
    rf"(?:montant|importe|importo|betrag|bedrag|valor|kwota|belopp|summa)_(?:{_LINK})*(?:{_ORDER}|{CREDIT_NOTE})",
)
QUANTITY = (
    "mennyiseg|darab|τεμαχια|ποσοτητα|الكمية|כמות|кількість|so_luong|kolicina|cantitate"
    "|quantite|liczba_sztuk|sztuk|cantidad|quantidade|quantita|aantal|ilosc|antal|maara|mnozstvi|miktar|adet|количество"
    "|数量|個数|點數|件数|수량",
)
UNIT_PRICE = (
    "(brutto_|netto_)?egysegar|τιμη_μοναδας|prix(_unitaire)?|precio(_unitario)?|preco(_unitario)?|prezzo(_unitario)?|prijs|stuksprijs"
    "|cena(_jednostkowa)?|pris|a_pris|hinta|birim_fiyat|fiyat|цена|単価|价格|单价|單價|価格|단가|(상품_?)?가격",
)
EMAIL = (
    "e_?mail_?cim|(e_?mail|courriel)_(payeur|acheteur|client|du_client|participant)|courriel|correo(_electronico)?|adresse_e?_?mail|e_?posta|почта|メール(アドレス)?(_(請求先|購入者|注文者|お客様))?|邮箱|电子邮箱"
    "|이메일",
)
CURRENCY = (
    "penznem|νομισμα|العملة|מטבע|tien_te|mata_uang|devise|moneda|moeda|valuta|waluta|wahrung|mena|para_birimi|валюта|通貨|币种|貨幣|통화",
)
_STATE = (
    "(?:status|statut|etat|estado|situacao|stato|zustand|stan|stav|durum|durumu|tila|статус|состояние|状態|状況"
    "|ステータス|状态|狀態|상태|สถานะ|kondisi"
    "|allapot|statusz|κατασταση|الحالة|حالة|סטטוס|trang_thai|stare)"
)
_STAGE = "phase|etape|etapa|fase|stufe|verkaufsphase|стадия|этап|ステージ|フェーズ|阶段|단계"
STATUS = (rf"{_STATE}(?:_(?:{_LINK})*{_ORDER})?|{_ORDER}_?{_STATE}|{_STAGE}",)
CLOSED = (
    "abschluss_?datum|geschlossen_am|date_(?:de_)?cloture|cloture_le|fecha_(?:de_)?cierre|cerrado_el"
    "|data_(?:di_)?chiusura|data_(?:de_|do_)?fechamento|sluitingsdatum|data_zamkniecia|дата_закрытия"
    "|成約日|完了日|关闭日期|成交日期|종료일",
)
# Deals that came about.
DEAL_WON = "gewonnen|gagne|ganad|vint[ao]|ganho|wygran|vunnen|выигр|成約|受注|赢单|成交|수주"
# Kinds of documents: invoices beside credit notes.
_DOCUMENT = (
    "(?:beleg|dokument(?:en)?|buchungs?|vorgangs?|rechnungs?)_?(?:art|typ)|type_(?:de_)?(?:document|piece)"
    "|tipo_(?:de_|di_)?(?:documento|comprobante|doc)|(?:document|boekings?)_?soort"
    "|(?:typ|rodzaj|druh|typ)_(?:dokumentu|dokladu)|тип_документа|вид_документа|伝票(?:区分|種別)"
)
# Words of documents by which money comes in.
INVOICE = (
    "rechnung(?:en)?|facture|factura|fattura|fatura|factuur|faktura|verkauf|vente|venta|vendita"
    "|venda|sprzedaz|продажа|счет|売上|納品"
)
EVENT = (
    _DOCUMENT,
    "evenement|evento|ereignis|gebeurtenis|zdarzenie|handelse|olay|событие|イベント|事件|이벤트",
)

# Dates of something else, and what is told of people.
NOT_TIME = (
    "naissance|nacimiento|nascimento|nascita|geburt|geboorte|urodz|fodel|рожд|生年|誕生|出生|생년|生日"
    "|livraison|entrega|consegna|liefer|levering|dostaw|достав|配送|発送|发货|배송|inscription|registr"
    "|lahto|paluu|era_?paiva|forfall|uitvaar|vervaldatum|storno|avgang|avreise|termin|vade|cikis|splat"
    "|modif|echeance|vencim|scaden|fallig|регистр|登録|注册|가입|更新|수정"
)
PERSONAL = (
    "(^|_)(nom|prenom|nombre|apellidos?|nome|sobrenome|cognome|naam|voornaam|achternaam|imie|nazwisko"
    "|fornamn|efternamn|ad|soyad|jmeno|prijmeni|имя|фамилия|фио)(_(du_|de_)?(client|cliente|клиента))?$"
    "|telefon|telephone|тел|адрес|direccion|endereco|indirizzo|(^|_)adres|氏名|名前|電話|住所|郵便|姓名"
    "|电话|手机|地址|이름|성명|전화|주소|почта|メール|邮箱|이메일|courriel|correo|пол$|性別|性别|성별"
)

YES = (
    "true|t|yes|y|1|ja|j|oui|o|si|s|sim|tak|da|ano|igen|kylla|evet|wahr|vrai|verdadero|vero|да|так"
    "|ναι|はい|是|예|네|نعم|כן"
)
NO = (
    "false|f|no|n|0|nein|non|nao|nie|ne|nem|nee|nej|nei|ei|hayir|falsch|faux|falso|нет|ні|οχι"
    "|いいえ|否|아니오|아니요|لا|לא|khong|tidak"
)

_NAMED = "(?:_(?:client|cliente|kunde|customer|buyer|請求先))?"
SURNAME = (
    "(?:last_?name|surname|family_?name|nom(?:_de_famille)?|nachname|familienname|apellidos?"
    "|sobrenome|apelido|cognome|achternaam|nazwisko|efternamn|etternavn|sukunimi|prijmeni|soyad|soyadi"
    rf"|vezeteknev|επωνυμο|фамилия|прізвище|姓|氏|성){_NAMED}"
)
FIRST_NAME = (
    "(?:first_?name|given_?name|forename|prenom|vorname|nombre|nome|voornaam|imie|fornamn|fornavn"
    rf"|etunimi|jmeno|ad|adi|keresztnev|ονομα|имя|名){_NAMED}"
)

# How an order ended, in the words of states.
NOT_YET = (
    "pendient|pendent|en_attente|in_attesa|ausstehend|unbezahlt|impay|non_paye|no_pagad|nao_pago"
    "|non_pagat|niet_betaald|niezaplac|nieoplac|obetald|未払|未入金|未発送|未付|미결제|не_оплач|неоплач"
    "|ожида|очіку|nem_fizet|fizetesre_var|feldolgozas_alatt|εκκρεμ|in_asteptare|na_cekanju|menunggu"
    "|cho_(thanh_toan|xac_nhan)|معلق|קיד|ממתין"
)
LOST = (
    "ยกเลิก|odrzuc|odwol|hylat|afvist|afgewezen|geweigerd|"
    "annul|anul[aeiouw]|abgebroch|storn|geloscht|cancelad|rechaz|recus|recusad|rifiut|geannul|anulow|zruse|avbrut"
    "|misslyck|mislykk|mislykt|fehlgeschl|echou|echec|fallid|falhou|fallit|mislukt|nieuda|epaonn|selhal"
    "|basarisiz|неудач|失敗|失败|실패|makul|peru|iptal|отмен|отклон|キャンセル|取消|関閉|关闭|취소|torol|lemond|ακυρ|anulat|скасов|otkazan|dibatalkan|huy|ملغ|בוטל|perdu|perdid|pers[ao]$|verlor"
)
OPEN = (
    "en_attente|en_cours|pendient|pendent|in_attesa|ausstehend|offen|wartend|in_behandeling|oczekuj"
    "|ceka|vantar|bekl|ожида|в_обработке|保留|処理中|待付款|待处理|未付款|대기"
)
BACK = (
    "مرتجع|คืนเงิน|"
    "tilbagebet|krediter|refunder|rembours|reembols|devuel|devolv|devoluc|rimbors|erstattet|retour|terugb|zwrot|zwroc|aterbet|iade"
    "|возврат|возвращ|返金|返品|退款|환불|반품|vissza(ter|kuld|fizet)|επιστρ|rambursat|retur(at|nat)?$|повернен|hoan_tien|مسترد|הוחזר"
)
WON = (
    "vahvist|cobrad|incass|geincass|inkass|confirmad|entreg|נמסר|נשלח|สำเร็จ|ชำระแล้ว|จัดส่งแล้ว|da_nhan|已签收|已收货|"
    f"{DEAL_WON}|"
    "livr|^emis[eo]?s?$|emitid|expedi|termin|pay[e]?e?$|valid|complet|entreg|enviad|pagad|pago|conclui|consegn|spedit"
    "|pagat|evas|bezahlt|versand|geliefert|abgeschloss|erledigt|betaald|geleverd|verzonden|zaplac"
    "|oplac|wyslan|dostarcz|odebran|zrealiz|betald|skickad|levere|toimitettu|doruc|zaplacen|tamamlan|odendi"
    "|teslim|выполн|оплач|достав|заверш|完了|発送済|支払済|已完成|已付款|已支付|已发货|交易成功|완료|ganad|gagne"
    "|vint[ao]$|gewonnen|ganho|confirm|발송|배송|확정|teljesit|fizetve|kifizet|kiszallit|kezbesit|πληρω"
    "|ολοκλ|παραδ|απεστ|livrat|platit|finaliz|expediat|сплач|доставл|викон|placen|isporuc|selesai|dibayar"
    "|hoan_thanh|da_giao|da_thanh_toan|مدفوع|مكتمل|تم_|שולם|הושלם|arquivad"
)

# Start and end of contracts.
CONTRACT_START = (
    "(vertrags_?|abo_?)?(beginn|start_?datum)|(date_?(de_?)?|fecha_?(de_?)?|data_?(di_?|de_?)?)?"
    "(debut|inicio|inizio|ingangsdatum|startdatum|poczatek|zaczatek)|дата_начала|начало|開始日|开始日期"
    "|시작일"
)
CONTRACT_END = (
    "(vertrags_?|abo_?)?(ende?_?(datum)?|kuendigung(sdatum)?|kundigung(sdatum)?)"
    "|(date_?(de_?)?|fecha_?(de_?)?|data_?(di_?|de_?)?)?(fin|fine|fim|resiliation|baja|einddatum|koniec)"
    "|дата_окончания|конец|終了日|解約日|结束日期|종료일|해지일"
)
# The sum of other rows.
TOTAL = (
    "skupaj|sveukupno|spolu|kokku|viso|kopa|yhteensa|samtals|συνολο|γενικο_συνολο|(mind)?osszesen|всього|разом|المجموع|סה_כ|tong_cong|jumlah|ukupno"
    "|summe|zwischensumme|gesamt(?:summe)?|somme|sous_total|suma|somma|totale|totaal|итого|合計"
    "|小計|合计"
)

# Names of people and of what they carry, anywhere in a column's name.
PEOPLE = (
    "(^|_)(customers?|clients?|users?|members?|buyers?|guests?|patrons?|donors?|patients?|payers?|students?"
    "|subscribers?|passengers?|tenants?|owners?|accounts?|phone|mobile|tel|telefon|whatsapp|e?_?mail|barcode"
    f"|card|token|fingerprint|wallet|passport|loyalty)(_|$)|(^|_){_PERSON}(_|$)"
    "|회원|고객|주문자|구매자|会員|顧客|会员|客户|用户|สมาชิก|ลูกค้า|ग्राहक"
)
# Names of what repeats in rows of orders, and is no customer.
THINGS = (
    "product|item|article|artikel|sku|goods|service|title|name_of|description|machine|device|terminal|pos(_|$)"
    "|store|shop|branch|location|site|venue|station|region|city|state|country|zip|post|street|slot|seat"
    "|staff|server|cashier|employee|agent|seller|salesperson|driver|doctor|teacher|operator|clerk|kasjer"
    "|category|type|kind|class|group|brand|color|colour|size|variant|model|campaign|coupon|promo|source"
    "|method|reason|note|comment|period|month|year|week|zone|route|tax|vat|rate|unit|table|room|plan"
    "|produ[ck]t|produit|prodotto|produkt|filial|kasse|caisse|caja|tienda|sklep|magasin|butik|kauppa|toimipaikka"
    "|商品|品名|店舗|店铺|상품|품명|매장|สินค้า|รายการ|สาขา|san_pham|hang_hoa|chi_nhanh|urun|sube|magaza"
    "|المنتج|الفرع|מוצר|פריט|סניף|товар|магазин|услуга|leistung|ziffer|beschreibung|bezeichnung|kurs(_|$)|reitti"
)
# Names of numbers that are no money.
MEASURES = (
    "rating|stars|weight|(^|_)(kg|km|m3|kwh|gb|lat|lng|lon|min|hrs?|qty)(_|$)|latitude|longitude|temperature"
    "|distance|duration|hours|minutes|seconds|(^|_)age(_|$)|consum|verbrauch|verbruik|kulutus|zuzycie|faktor"
    "|factor|percent|procent|prozent|_%|score|points|punkte|puntos|punti|punkty|puan|points?|year|month|week"
    "|version|exponent|precision|capacity|level|index|count|exchange|litr|gewicht|peso(_|$)"
    "|מע_מ|הנחה|ضريبة|خصم|thue|giam_gia|kdv|indirim|alv(_|$)|dph|pdv|(^|_)afa(_|$)|rabat|sleva|alennus|kedvezmeny"
    "|割引|税額|消費税|送料|할인|배송비|부가세|ส่วนลด|ภาษี|kargo|wysylk|doprav|szallitas|fracht|phi_van_chuyen|折扣|优惠|运费|税"
)
