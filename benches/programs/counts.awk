# Counts words and word pairs, and sorts them.
{
    previous = ""
    for (i = split($0, parts, /[^A-Za-z_]+/); i > 0; i--) {
        if (parts[i] == "") continue
        count[parts[i]]++
        if (previous != "") pairs[parts[i] " " previous]++
        previous = parts[i]
        last[length(previous)] = toupper(previous) NR
    }
}
END {
    n = asorti(count, order)
    for (i = 1; i <= n; i++) text = text order[i] ":" count[order[i]] ";"
    for (pair in pairs) total += pairs[pair] * length(pair)
    for (size in last) letters += length(last[size])
    print n, length(text), total, letters
}
