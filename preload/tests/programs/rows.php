<?php
// Uses strings, arrays, sorts, and functions of extensions. Debian's PHP loads extensions with RTLD_DEEPBIND.
$rows = [];
for ($i = 0; $i < 20000; $i++) $rows[] = ['id' => $i, 'text' => str_repeat(chr(97 + $i % 26), $i % 300)];
$json = json_encode($rows);
echo strlen($json), ' ', md5($json), ' ', count(json_decode($json, true)), "\n";
echo md5(implode(',', array_map(fn($row) => strtoupper($row['text']), $rows))), "\n";
echo preg_match_all('/a+b*/', implode('', array_column($rows, 'text'))), "\n";
echo md5(gzcompress($json) ? 'x' : ''), ' ', get_loaded_extensions() ? 'extensions' : '', ' ', extension_loaded('posix') ? posix_getpid() > 0 : '', "\n";
usort($rows, fn($a, $b) => strcmp($a['text'], $b['text']) ?: $a['id'] <=> $b['id']);
echo md5(serialize($rows)), "\n";
$d = new DateTime('2024-02-29', new DateTimeZone('Europe/Zurich')); echo $d->modify('+1 year')->format('c'), "\n";
$s = iconv('UTF-8', 'ISO-8859-1', 'äöü'); echo bin2hex($s), "\n";
echo implode(' ', array_map('ctype_alpha', ['a', 'b'])), "\n";
$f = tmpfile(); fwrite($f, $json); fseek($f, 0); echo md5(stream_get_contents($f)), "\n";
