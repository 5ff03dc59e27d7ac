<?php
// Works on words, arrays, objects and strings: documents.php TEXT TIMES
$text = file_get_contents($argv[1]);
for ($round = 0; $round < $argv[2]; $round++) {
    $places = [];
    foreach (explode("\n", $text) as $number => $line) {
        foreach (preg_split('/\W+/', $line, -1, PREG_SPLIT_NO_EMPTY) as $word) $places[$word][] = $number;
    }
    $rows = [];
    foreach ($places as $word => $lines) {
        $row = new stdClass();
        $row->word = ucfirst($word);
        $row->lines = array_unique($lines);
        $rows[] = $row;
    }
    usort($rows, fn($a, $b) => count($b->lines) <=> count($a->lines) ?: strcmp($a->word, $b->word));
    $again = json_decode(json_encode($rows), true);
    $out = implode(';', array_map(fn($row) => strtoupper($row['word']) . count($row['lines']), $again));
    echo count($again), ' ', md5($out), "\n";
}
