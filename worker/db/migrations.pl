#!/usr/bin/perl
# migrations.pl: puts sql/migrations/NNNN_name.up.sql and .down.sql into migrations.c, in order of their numbers. Run by make; a missing half,
# a number used twice or a name that does not fit stops the build.
use strict;
use warnings;

my ($source, $target) = @ARGV;
die "usage: migrations.pl DIRECTORY-OF-MIGRATIONS TARGET\n" unless defined $target;
my (%found, $faults);

sub fault { print STDERR "@_\n"; $faults++; }

for my $path (sort glob("$source/*")) {
	next if $path =~ m{(~|/\.[^/]*)$};
	if ($path !~ m{/([0-9]{4})_([a-z0-9_]+)\.(up|down)\.sql$}) {
		fault("$path:1: error: a migration is called NNNN_what_it_does.up.sql or .down.sql");
		next;
	}
	my ($number, $name, $way) = ($1 + 0, $2, $3);
	fault("$path:1: error: number $1 is also that of $found{$number}{name}") if $found{$number} && $found{$number}{name} ne $name;
	open(my $file, '<', $path) or die "$path: $!\n";
	local $/;
	$found{$number}{name} = $name;
	$found{$number}{$way} = <$file>;
	fault("$path:1: error: migrations run in one transaction each; leave BEGIN and COMMIT out")
		if $found{$number}{$way} =~ /^\s*(begin|commit|rollback)\s*;/mi;
}
for my $number (sort { $a <=> $b } keys %found) {
	for my $way (qw(up down)) {
		fault(sprintf("%s/%04d_%s.%s.sql:1: error: it is missing", $source, $number, $found{$number}{name}, $way))
			unless defined $found{$number}{$way};
	}
}
exit 1 if $faults;

sub quoted { my ($t) = @_; $t =~ s/(["\\])/\\$1/g; $t =~ s/\t/\\t/g; $t =~ s/\n/\\n"\n\t\t"/g; return "\"$t\""; }

my $c = "/* migrations.c: made from sql/migrations by worker/db/migrations.pl; do not edit. */\n#include \"config.h\"\n\n"
	. "#include <stddef.h>\n\n#include \"worker/db/migrations.h\"\n\nconst struct migration migrations[] = {\n";
for my $number (sort { $a <=> $b } keys %found) {
	$c .= "\t{ .version = $number, .name = \"$found{$number}{name}\",\n\t\t.up =\n\t\t" . quoted($found{$number}{up})
		. ",\n\t\t.down =\n\t\t" . quoted($found{$number}{down}) . " },\n";
}
$c .= "};\nconst size_t migrations_count = sizeof migrations / sizeof migrations[0];\n";
if (open(my $old, '<', $target)) {
	local $/;
	my $before = <$old>;
	exit 0 if defined $before && $before eq $c;
}
open(my $new, '>', "$target.new") or die "$target.new: $!\n";
print $new $c;
close $new or die "$target.new: $!\n";
rename "$target.new", $target or die "$target: $!\n";
