# Works on vectors, strings and tables: frames.R TEXT TIMES
arguments <- commandArgs(trailingOnly = TRUE)
lines <- readLines(arguments[1], warn = FALSE)
for (round in seq_len(as.integer(arguments[2]))) {
  words <- unlist(strsplit(lines, "[^A-Za-z_]+"))
  words <- words[nzchar(words)]
  frame <- data.frame(word = words, length = nchar(words), place = seq_along(words))
  means <- tapply(frame$place, frame$word, mean)
  ordered <- frame[order(frame$length, frame$word, decreasing = TRUE), ]
  parts <- split(frame$place, frame$word)
  sums <- vapply(parts, function(places) sum(as.numeric(places)), 0)
  cat(length(means), ordered$word[1], sum(sums), nchar(paste(toupper(words), collapse = " ")), "\n")
}
