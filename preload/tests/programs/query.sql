SELECT count(*), sum(abalance) IS NOT NULL FROM pgbench_accounts;
SELECT count(*) FROM pgbench_history;
CREATE TABLE t AS SELECT i, md5(i::text) AS h, repeat('x', i % 500) AS body FROM generate_series(1, 50000) i;
CREATE INDEX ON t (h);
SELECT count(DISTINCT substr(h, 1, 3)), sum(length(body)) FROM t;
SELECT h FROM t WHERE h LIKE 'abc%' ORDER BY h;
SELECT md5(string_agg(h, ',' ORDER BY h)) FROM t;
SELECT jsonb_array_length(jsonb_agg(jsonb_build_object('i', i, 'h', h))) FROM t;
