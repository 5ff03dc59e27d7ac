CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT, weight REAL, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO words SELECT i, printf('word-%d-%x', i % 977, i * 2654435761 % 4294967296), i * 0.25, zeroblob(i % 90) FROM n;
CREATE INDEX by_word ON words (word);
CREATE INDEX by_weight ON words (weight, word);
SELECT count(*), sum(length(word)), sum(length(body)) FROM words;
SELECT substr(word, 1, 8) AS head, count(*), avg(weight) FROM words GROUP BY head ORDER BY 2 DESC, 1 LIMIT 20;
SELECT a.word, b.word FROM words a JOIN words b ON b.id = a.id * 2 WHERE a.id % 9973 = 0 ORDER BY a.word;
UPDATE words SET body = randomblob(40) WHERE id % 3 = 0;
DELETE FROM words WHERE id % 2 = 0;
SELECT count(*), group_concat(id % 7, '') FROM (SELECT id FROM words WHERE id < 200);
WITH RECURSIVE f(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM f WHERE n < 60) SELECT n, a FROM f;
SELECT json_group_array(word) FROM (SELECT word FROM words ORDER BY weight DESC LIMIT 50);
VACUUM;
PRAGMA integrity_check;
