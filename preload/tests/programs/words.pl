# Counts, sorts, splits and joins the words of files.
use strict;
use warnings;
my (%count, %next, $last);
for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!";
    while (my $line = <$in>) {
        for my $word ($line =~ /\w+/g) {
            $count{$word}++;
            push @{ $next{$last} }, $word if defined $last;
            $last = $word;
        }
    }
}
my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print "$_ $count{$_}\n" for @order[0 .. 99];
my $text = join ' ', map { "$_=" . join(',', @{ $next{$_} || [] }) } sort keys %next;
print length $text, "\n";
(my $changed = $text) =~ s/(\w)(\w*)/\u$1\L$2/g;
print scalar(() = $changed =~ /[A-Z]/g), "\n";
my @grid = map { [map { $_ * $_ } 1 .. 200] } 1 .. 200;
my $sum = 0;
for my $round (1 .. 20) { $sum += $_ for map { @$_ } @grid; @grid = map { [reverse @$_] } @grid; }
print "$sum\n";
