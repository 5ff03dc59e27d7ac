# Counts words, and makes strings, hashes, arrays and structures: words.rb TEXT TIMES
Entry = Struct.new(:word, :count, :next)
text = File.read(ARGV[0])
Integer(ARGV[1]).times do
  counts = Hash.new(0)
  followers = Hash.new { |hash, word| hash[word] = [] }
  last = nil
  text.scan(/\w+/) do |word|
    counts[word] += 1
    followers[last] << word if last
    last = word
  end
  entries = counts.map { |word, count| Entry.new(word, count, followers[word].uniq.first(5)) }
  entries.sort_by! { |entry| [-entry.count, entry.word] }
  lines = entries.map { |entry| "#{entry.word.capitalize}: #{entry.count} #{entry.next.join(',')}" }
  all = lines.join("\n").gsub(/[aeiou]+/) { |vowels| vowels.reverse }
  puts all.length, entries.first(3).map(&:word).join(' ')
end
