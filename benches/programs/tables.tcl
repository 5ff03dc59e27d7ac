# Works on dictionaries, lists and strings: tables.tcl TEXT TIMES
set file [open [lindex $argv 0]]
set text [read $file]
close $file
for {set round 0} {$round < [lindex $argv 1]} {incr round} {
    set places [dict create]
    set number 0
    foreach line [split $text "\n"] {
        incr number
        foreach word [regexp -all -inline {\w+} $line] { dict lappend places $word $number }
    }
    set rows {}
    dict for {word lines} $places { lappend rows [list $word [llength $lines] [lrange $lines 0 9]] }
    set rows [lsort -integer -decreasing -index 1 [lsort -index 0 $rows]]
    set out {}
    foreach row $rows { append out [string toupper [lindex $row 0]] " " [join [lindex $row 2] ","] "\n" }
    puts "[llength $rows] [string length $out]"
}
