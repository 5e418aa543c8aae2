#!/usr/bin/perl
# statements.pl: turns sql/queries/*.sql into the table of named statements, statements.h and statements.c. Run by make; a mistake in a
# file stops the build with its file and line. It does not know PostgreSQL's grammar: whether a statement is right, a test asks the server.
#
#   -- statement: rooms_read
#   -- kind: read                      read (may share a batch) or write
#   -- params: owner uuid, id uuid     $1, $2, …; may be repeated for more lines; left out when there are none
#   -- result: version int, body json  columns in order; likewise
#   SELECT …;
#
#   -- fragment: room_body             words that several statements share, in any file; {{room_body}} puts them there
#   json_build_object('id', id)
#
#   -- fragment: child_read            with arguments: {{child_read: renovation_rooms, room_body}} puts the first for {{1}} and so on;
#   SELECT {{{{2}}}} FROM {{1}} …      an argument may name a fragment
use strict;
use warnings;

# name in the files -> [OID in pg_type.dat, kind for decoding]
my %TYPES = (
	bool => [ 16, 'BOOL' ], bytea => [ 17, 'BYTEA' ], bigint => [ 20, 'INT' ], smallint => [ 21, 'INT' ], int => [ 23, 'INT' ],
	text => [ 25, 'TEXT' ], json => [ 114, 'JSON' ], float => [ 701, 'OTHER' ], date => [ 1082, 'OTHER' ], timestamptz => [ 1184, 'OTHER' ],
	interval => [ 1186, 'OTHER' ], numeric => [ 1700, 'OTHER' ], uuid => [ 2950, 'UUID' ], jsonb => [ 3802, 'JSONB' ],
	'int[]' => [ 1007, 'OTHER' ], 'text[]' => [ 1009, 'OTHER' ], 'bigint[]' => [ 1016, 'OTHER' ], 'uuid[]' => [ 2951, 'OTHER' ],
);
my ($source, $target) = @ARGV;
die "usage: statements.pl DIRECTORY-OF-QUERIES TARGET-WITHOUT-SUFFIX\n" unless defined $target;
my (@statements, %fragments, %seen, $faults);

sub fault { my ($where, $what) = @_; print STDERR "$where: error: $what\n"; $faults++; }

sub fields {
	my ($where, $text) = @_;
	my @list;
	for my $part (split /,/, $text) {
		if ($part !~ /^\s*([a-z][a-z0-9_]*)\s+([a-z]+(?:\[\])?)\s*$/) {
			fault($where, "'$part' is not 'name type'");
		} elsif (!$TYPES{$2}) {
			fault($where, "type '$2' is not known; known are " . join(' ', sort keys %TYPES));
		} else {
			push @list, { name => $1, type => $2 };
		}
	}
	return @list;
}

# The statement without strings, quoted names and comments, for looking at its words.
sub bare {
	my ($sql) = @_;
	$sql =~ s/'(?:[^']|'')*'/ '' /g;
	$sql =~ s/"[^"]*"/ q /g;
	$sql =~ s{/\*.*?\*/}{ }gs;
	$sql =~ s/--[^\n]*/ /g;
	return $sql;
}

# The words of a fragment with its arguments in their places.
sub fragment {
	my ($where, $name, $list) = @_;
	my @given = split /\s*,\s*/, $list // '';
	my $text = $fragments{$name};
	if (!defined $text) { fault($where, "fragment $name is not known"); return '' }
	my ($wanted) = sort { $b <=> $a } 0, $text =~ /\{\{(\d+)\}\}/g;
	if ($wanted != @given) { fault($where, "fragment $name takes $wanted arguments, not " . @given); return '' }
	$text =~ s/\{\{(\d+)\}\}/$given[$1 - 1]/g;
	return $text;
}

sub finish {
	my ($s) = @_;
	my $where = $s->{where};
	fault($where, "statement $s->{name} has no '-- kind: read' or '-- kind: write'") unless $s->{kind};
	for (my $depth = 0; $s->{sql} =~ /\{\{/ && $depth < 4; $depth++) {
		$s->{sql} =~ s/\{\{(\w+)(?::\s*([^{}]*))?\}\}/fragment($where, $1, $2)/ge;
	}
	fault($where, "fragments of $s->{name} use each other in a circle, or {{ }} is malformed") if $s->{sql} =~ /\{\{/;
	$s->{sql} =~ s/^\s*--[^\n]*\n//gm;
	$s->{sql} =~ s/^[ \t]+//gm;
	$s->{sql} =~ s/\s+$//;
	fault($where, "statement $s->{name} does not end with ';'") unless $s->{sql} =~ s/;$//;
	my $bare = bare($s->{sql});
	fault($where, "statement $s->{name} is empty") unless $bare =~ /\S/;
	fault($where, "statement $s->{name} holds more than one statement (a ';' inside)") if $bare =~ /;/;
	fault($where, "statement $s->{name} is of kind read but changes or locks rows")
		if ($s->{kind} // '') eq 'read' && $bare =~ /\b(insert\s+into|update|delete\s+from|merge\s+into|for\s+share)\b/i;
	my %used = map { $_ => 1 } $bare =~ /\$([0-9]+)/g;
	my $count = @{ $s->{params} };
	for my $n (1 .. $count) {
		fault($where, "parameter \$$n ($s->{params}[$n - 1]{name}) of $s->{name} is not used") unless $used{$n};
	}
	for my $n (sort { $a <=> $b } keys %used) {
		fault($where, "\$$n in $s->{name} has no entry in '-- params:'") if $n < 1 || $n > $count;
	}
	if (grep { $_->{type} eq 'bytea' } @{ $s->{result} }) {
		$s->{binary} = 1;
		for my $c (grep { $TYPES{ $_->{type} }[1] eq 'OTHER' } @{ $s->{result} }) {
			fault($where, "column $c->{name} of $s->{name}: beside bytea only int, bigint, bool, text, json, jsonb and uuid can be read; cast it to text");
		}
	}
	push @statements, $s;
}

my @read;
for my $path (sort glob("$source/*.sql")) {
	open(my $file, '<', $path) or die "$path: $!\n";
	my $current;
	while (my $line = <$file>) {
		my $where = "$path:$.";
		if ($line =~ /^--\s*statement:\s*(\S*)\s*$/) {
			my $name = $1;
			push @read, $current if $current;
			fault($where, "'$name' is no name for a statement: lower case letters, digits, _") if $name !~ /^[a-z][a-z0-9_]*$/;
			fault($where, "statement $name is already defined at $seen{$name}") if $seen{$name};
			$seen{$name} = $where;
			(my $short = $where) =~ s{.*/}{};
			$current = { name => $name, where => $where, short => $short, params => [], result => [], sql => '' };
		} elsif ($line =~ /^--\s*fragment:\s*(\w+)\s*$/) {
			push @read, $current if $current;
			$current = { fragment => $1, where => $where, sql => '' };
		} elsif ($line =~ /^--\s*(kind|params|result):\s*(.*?)\s*$/ && $current && !$current->{fragment} && $current->{sql} !~ /\S/) {
			my ($key, $text) = ($1, $2);
			if ($key eq 'kind') {
				$text =~ s/\s.*//;
				fault($where, "kind is read or write, not '$text'") if $text !~ /^(read|write)$/;
				$current->{kind} = $text;
			} else {
				$text =~ s/,\s*$//;
				push @{ $current->{$key} }, fields($where, $text);
			}
		} elsif ($line =~ /^--\s*(kind|params|result|statment|param|results|returns):/ && (!$current || $current->{sql} !~ /\S/)) {
			fault($where, "'$1:' does not belong here; a statement begins with '-- statement: name'");
		} elsif ($current) {
			$current->{sql} .= $line;
		} elsif ($line !~ /^\s*(--.*)?$/) {
			fault($where, "text before the first '-- statement: name'");
		}
	}
	push @read, $current if $current;
	close $file;
}
for my $f (grep { $_->{fragment} } @read) {
	fault($f->{where}, "fragment $f->{fragment} is already defined") if defined $fragments{ $f->{fragment} };
	($fragments{ $f->{fragment} } = $f->{sql}) =~ s/^\s*--[^\n]*\n//gm;
	$fragments{ $f->{fragment} } =~ s/\s+$//;
}
finish($_) for grep { $_->{name} } @read;
exit 1 if $faults;

sub quoted { my ($t) = @_; $t =~ s{(["\\])}{\\$1}g; $t =~ s{\t}{\\t}g; $t =~ s{\n}{\\n"\n\t\t"}g; return "\"$t\""; }

# Leaves an unchanged file alone, so that nothing is compiled again.
sub store {
	my ($path, $text) = @_;
	if (open(my $old, '<', $path)) {
		local $/;
		my $before = <$old>;
		return if defined $before && $before eq $text;
	}
	open(my $new, '>', "$path.new") or die "$path.new: $!\n";
	print $new $text;
	close $new or die "$path.new: $!\n";
	rename "$path.new", $path or die "$path: $!\n";
}

my $h = <<'END';
/* statements.h: the named statements of sql/queries, in the order of their files. Made by worker/db/statements.pl; do not edit. */
#ifndef RENOVATIOND_WORKER_DB_STATEMENTS_H
#define RENOVATIOND_WORKER_DB_STATEMENTS_H

#include <stdbool.h>
#include <stdint.h>

enum statement {
END
$h .= "\tSQL_$_->{name},\n" for @statements;
$h .= <<'END';
	SQL_COUNT
};

enum statement_kind { STATEMENT_READ, STATEMENT_WRITE };

enum statement_type {
	STATEMENT_BOOL,
	STATEMENT_INT, /* smallint, int, bigint */
	STATEMENT_TEXT,
	STATEMENT_JSON,
	STATEMENT_JSONB,
	STATEMENT_UUID,
	STATEMENT_BYTEA,
	STATEMENT_OTHER /* read as text */
};

/* A parameter or a column of the result. */
struct statement_field {
	const char *name;         /* as in the file */
	enum statement_type type; /* how it is decoded */
	uint32_t oid;             /* of PostgreSQL's type */
};

struct statement_row {
	const char *name;                    /* also the name it is prepared under */
	const char *source;                  /* file and line, for messages */
	const char *sql;                     /* without the final semicolon */
	enum statement_kind kind;            /* reads share a Sync, writes have their own */
	bool is_binary;                      /* results come in binary, because one column is bytea */
	int param_count;                     /* entries of params and param_oids */
	int column_count;                    /* entries of columns */
	const struct statement_field *params;
	const uint32_t *param_oids;          /* for PREPARE */
	const struct statement_field *columns;
};

extern const struct statement_row statement_rows[SQL_COUNT + 1]; /* the last row is empty */

#endif
END

my $c = "/* statements.c: made from sql/queries by worker/db/statements.pl; do not edit. */\n#include \"config.h\"\n\n"
	. "#include <stddef.h>\n\n#include \"worker/db/statements.h\"\n";
for my $s (@statements) {
	for my $list (qw(params result)) {
		next unless @{ $s->{$list} };
		$c .= "\nstatic const struct statement_field $s->{name}_${list}[] = {\n";
		$c .= "\t{ \"$_->{name}\", STATEMENT_$TYPES{$_->{type}}[1], $TYPES{$_->{type}}[0] },\n" for @{ $s->{$list} };
		$c .= "};\n";
	}
	$c .= "static const uint32_t $s->{name}_oids[] = { " . join(', ', map { $TYPES{ $_->{type} }[0] } @{ $s->{params} }) . " };\n"
		if @{ $s->{params} };
}
$c .= "\nconst struct statement_row statement_rows[SQL_COUNT + 1] = {\n";
for my $s (@statements) {
	my ($np, $nr) = (scalar @{ $s->{params} }, scalar @{ $s->{result} });
	$c .= "\t[SQL_$s->{name}] = { .name = \"$s->{name}\", .source = \"$s->{short}\", .kind = STATEMENT_" . uc($s->{kind})
		. ", .is_binary = " . ($s->{binary} ? 'true' : 'false') . ", .param_count = $np, .column_count = $nr,\n"
		. "\t\t.params = " . ($np ? "$s->{name}_params" : 'NULL') . ", .param_oids = " . ($np ? "$s->{name}_oids" : 'NULL')
		. ", .columns = " . ($nr ? "$s->{name}_result" : 'NULL') . ",\n\t\t.sql =\n\t\t" . quoted($s->{sql}) . " },\n";
}
$c .= "\t[SQL_COUNT] = { .name = NULL },\n};\n";
store("$target.h", $h);
store("$target.c", $c);
