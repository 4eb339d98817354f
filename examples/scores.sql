-- Whom to look after first: valuable customers whose risk is high among customers like them.
-- Run it: duckdb -readonly outputs/stagecast.duckdb < examples/scores.sql
SELECT customer_id, stage, next_stage, p_churn, clv, lapses_at_if_silent
FROM customer_scores
WHERE value_tier = 'top' AND churn_band IN ('high', 'medium')
ORDER BY p_churn * clv DESC, customer_id
LIMIT 20;
