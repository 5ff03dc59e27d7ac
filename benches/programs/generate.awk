# Makes input for parsers: awk -v KIND=json|xml|dot|lines -v ROWS=N -f generate.awk
function word(i) { return "w" (i * 7919 % 9973) }
BEGIN {
    if (KIND == "json") print "["
    if (KIND == "xml") print "<?xml version=\"1.0\"?>\n<rows>"
    if (KIND == "dot") print "digraph {"
    for (i = 1; i <= ROWS; i++) {
        if (KIND == "json") printf "{\"id\": %d, \"name\": \"%s\", \"tags\": [\"%s\", \"%s\"], \"at\": {\"x\": %.3f, \"text\": \"%s %s\"}}%s\n", i, word(i), word(i + 1), word(i % 50), i / 7, word(i * i % 1000), word(3 * i), i < ROWS ? "," : ""
        if (KIND == "xml") printf "<row id=\"%d\" name=\"%s\"><tag>%s</tag><tag kind=\"%d\">%s %s</tag><!-- %d --></row>\n", i, word(i), word(i + 1), i % 13, word(i % 50), word(3 * i), i
        if (KIND == "dot") printf "%s -> %s [label=\"%s\"];\n%s -> %s;\n", word(i % 200), word(i * i % 211), word(i), word(i), word(i % 190)
        if (KIND == "lines") printf "%s %s %d %s\n", word(i * 31), word(i * 17 % 4096), i * 7919 % 1000003, word(i)
    }
    if (KIND == "json") print "]"
    if (KIND == "xml") print "</rows>"
    if (KIND == "dot") print "}"
}
