#!/usr/bin/perl
# structure.pl: holds the tree to its own rules: who may include whom, where libraries stay, banned functions, a comment at the top of each file,
# one layout, options in the sample configuration, no foreign paths. Prints TAP; run by ./dev test from the top of the checkout.
use strict;
use warnings;

my @files = grep { -f } split /\n/, `git ls-files 2>/dev/null || find . -name '*.[ch]' | sed 's,^\./,,'`;
my @c     = grep { /\.[ch]$/ && m{^(shared|supervisor|worker|ctl|tests)/} } @files;
my ( $number, $bad ) = ( 0, 0 );

sub check {
    my ( $what, @faults ) = @_;
    $number++;
    $bad++ if @faults;
    print @faults ? "not ok" : "ok", " $number - $what\n";
    print "#   $_\n" for @faults;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    my $text = <$in>;
    return defined $text ? $text : '';
}
my %text = map { $_ => slurp($_) } @files;

# The part of the tree that a file belongs to.
sub part {
    my ($path) = @_;
    return $1 if $path =~ m{^(worker/(?:http|realtime|api|chat|tools|gemini|db|jobs))/};
    return 'worker/main' if $path =~ m{^worker/(?:commands|ending|handover)\.[ch]$};
    return 'worker/' . $1 if $path =~ m{^worker/(main|routes|auth|limits|control|shutdown|worker)\.[ch]$};
    return $1 if $path =~ m{^(supervisor|ctl|shared|tests|worker)/};
    return '?';
}

# What each part may include besides itself. "*" stands for everything of the worker.
my $root_headers = qr{^worker/worker\.h$};
my %may = (
    'shared'          => [],
    'supervisor'      => ['shared'],
    'ctl'             => ['shared'],
    'worker/main'     => ['*'],
    'worker/routes'   => ['*'],
    'worker/worker'   => ['shared'],
    'worker/control'  => ['shared', 'worker/worker', 'worker/shutdown'],
    'worker/shutdown' => ['shared'],
    'worker/auth'     => [ 'shared', 'worker/db', 'worker/http', 'worker/worker' ],
    'worker/limits'   => [ 'shared', 'worker/db', 'worker/http', 'worker/worker' ],
    'worker/http'     => ['shared'],
    'worker/gemini'   => ['shared'],
    'worker/db'       => ['shared'],
    'worker/tools'    => [ 'shared', 'worker/db', 'worker/worker' ],
    'worker/chat'     => [ 'shared', 'worker/shutdown', 'worker/gemini', 'worker/tools', 'worker/db', 'worker/http', 'worker/realtime', 'worker/worker' ],
    'worker/realtime' => [ 'shared', 'worker/chat', 'worker/http', 'worker/db', 'worker/worker' ],
    'worker/api'      => [ 'shared', 'worker/realtime', 'worker/chat', 'worker/http', 'worker/db', 'worker/gemini', 'worker/worker' ],
    'worker/jobs'     => [ 'shared', 'worker/chat', 'worker/db', 'worker/worker' ],
);
my @faults;
for my $file ( grep { !/^tests/ } @c ) {
    my $from = part($file);
    while ( $text{$file} =~ /^#include "([^"]+)"/mg ) {
        my $to = $1;
        next if $to eq 'config.h';
        if ( $to !~ m{/} ) { push @faults, "$file includes \"$to\": write it from the root"; next }
        my $target = part($to);
        next if $target eq $from;
        my $allowed = $may{$from} or do { push @faults, "$file: no rule for $from"; next };
        next if grep { $_ eq $target || ( $_ eq '*' && ( $target =~ /^worker/ || $target eq 'shared' ) ) } @$allowed;
        push @faults, "$file includes $to, which $from may not";
    }
}
check( 'who includes whom', @faults );

# Libraries stay where they belong.
my %home = (
    'libpq-fe.h'  => qr{^worker/db/},
    'curl/'       => qr{^worker/(gemini|jobs)/},
    'wslay/'      => qr{^worker/realtime/},
    'libconfig.h' => qr{^shared/config\.c$},
    'systemd/'    => qr{^(supervisor|shared)/},
);
@faults = ();
for my $file ( grep { !/^tests/ } @c ) {
    while ( $text{$file} =~ /^#include <([^>]+)>/mg ) {
        my $header = $1;
        for my $library ( keys %home ) {
            push @faults, "$file includes <$header>" if index( $header, $library ) == 0 && $file !~ $home{$library};
        }
    }
}
check( 'libraries stay where they belong', @faults );

@faults = ();
for my $file (@c) {
    ( my $code = $text{$file} ) =~ s{/\*.*?\*/|"(?:\\.|[^"\\\n])*"}{}gs;
    push @faults, "$file calls $1" while $code =~ /\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|localtime|gmtime|gets)\s*\(/g;
}
check( 'banned functions are not called', @faults );

check( 'each file begins by saying what it is for', map { "$_ has no comment at its top" } grep { $text{$_} !~ m{\A/\*} } @c );
check( 'config.h comes first in each C file',
    map { "$_ does not" } grep { /\.c$/ && $text{$_} =~ /^#include/m && $text{$_} !~ m{\A(?:/\*.*?\*/\s*)+(?:#define[^\n]*\n\s*)*#include "config.h"}s } grep { !m{^tests/(fuzz|bench|gemini-sim)} } @c );

# Every option is in the sample configuration, and nothing else is.
my %options = map { $_ => 1 } $text{'shared/config.def'} =~ /^OPTION\((\w+),/mg;
my %sample  = map { $_ => 1 } ( $text{'conf/renovationd.conf'} // '' ) =~ /^\s*#?\s?(\w+)\s*=/mg;
check( 'every option is in conf/renovationd.conf',
    ( map { "$_ is missing" } grep { !$sample{$_} } sort keys %options ),
    ( map { "$_ is no option" } grep { !$options{$_} } sort keys %sample ) );

# Every metric is in its document, as the table has it.
my %metrics;
for ( $text{'shared/metrics.def'} =~ /^((?:METRIC|STANDARD)\(.*\))$/mg ) {
    my ( $kind, $name, $type, $labels, $help ) = /^(\w+)\((\w+), (\w+), "\w*", "([\w ]*)", "([^"]*)"\)$/ or next;
    my $end = { COUNTER => '_total', INFO => '_info' }->{$type} // '';
    $metrics{ sprintf '| `%s%s%s` | %s | %s | %s |', $kind eq 'METRIC' ? 'renovationd_' : '', $name, $end, lc $type, join( ', ', split ' ', $labels ), $help } = 1;
}
my %told = map { $_ => 1 } ( $text{'docs/metrics.md'} // '' ) =~ /^(\| `.*\|)$/mg;
check( 'every metric is in docs/metrics.md',
    ( map { "missing: $_" } grep { !$told{$_} } sort keys %metrics ),
    ( map { "no such metric: $_" } grep { !$metrics{$_} } sort keys %told ) );

# Migrations come in pairs, statements of owners' data name the owner (the database tests look deeper).
my %migrations = map { $_ => 1 } grep { m{^sql/migrations/} } @files;
check( 'migrations are reversible pairs',
    map { ( my $other = $_ ) =~ s/\.(up|down)\.sql$/$1 eq 'up' ? '.down.sql' : '.up.sql'/e; $migrations{$other} ? () : "$_ has no $other" } sort keys %migrations );

# Secrets of the place where it was written, and what only its authors know.
my @words = ( 'reg' . 'istry.npmjs', '/wo' . 'rk/', '\.\./sha' . 'red/' );
my $words = join '|', @words;
check( 'no path of a machine and no private reference', map { "$_: $&" } grep { !/package-lock/ && $text{$_} =~ /$words/ } @files );

if ( `clang-format --version 2>/dev/null` =~ /version (14|1[5-9])/ && $1 == 14 ) {
    my @unformatted = split /\n/, `clang-format --dry-run --Werror @{[ join ' ', @c ]} 2>&1 | sed -n 's/^\\([^:]*\\):[0-9]*:.*error.*/\\1/p' | sort -u`;
    check( 'clang-format has nothing to change', @unformatted );
}

print "1..$number\n";
exit( $bad ? 1 : 0 );
