#!/usr/bin/perl
# assets.pl: turns the files of web/ into a C table: name, content type, ETag (sha256), bytes. Run by make; leaves an unchanged table alone.
# Knows nothing of what the files hold; folders below web/ are not taken.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my %TYPES = (
	html => 'text/html; charset=utf-8', css => 'text/css; charset=utf-8', js => 'text/javascript; charset=utf-8',
	json => 'application/json', svg => 'image/svg+xml', png => 'image/png', ico => 'image/x-icon', woff2 => 'font/woff2',
	txt => 'text/plain; charset=utf-8', webmanifest => 'application/manifest+json',
);
my ($folder, $target) = @ARGV;
die "usage: assets.pl FOLDER TARGET.c\n" unless defined $target;

my $c = "/* assets_data.c: made from web/ by worker/api/assets.pl; do not edit. */\n#include \"config.h\"\n#include \"worker/api/assets.h\"\n";
my $rows = '';
my $number = 0;
for my $path (sort glob("$folder/*")) {
	next unless -f $path;
	my ($name) = $path =~ m{([^/]+)\z};
	my ($suffix) = $name =~ /\.([a-z0-9]+)\z/ or die "$path: error: a file of web/ needs a suffix\n";
	my $type = $TYPES{$suffix} or die "$path: error: the content type of .$suffix is not known to worker/api/assets.pl\n";
	die "$path: error: only letters, digits, '.', '_' and '-' in names\n" if $name =~ /[^A-Za-z0-9._-]/;
	open(my $in, '<:raw', $path) or die "$path: $!\n";
	my $bytes = do { local $/; <$in> } // '';
	close $in;
	$c .= "\nstatic const unsigned char bytes_${number}[] = {";
	for (my $at = 0; $at < length $bytes; $at += 24) {
		$c .= "\n\t" . join(',', unpack('C*', substr($bytes, $at, 24))) . ',';
	}
	$c .= "\n\t0\n};\n";
	$rows .= sprintf("\t{ \"%s\", \"%s\", \"\\\"%s\\\"\", bytes_%d, %d },\n", $name, $type, sha256_hex($bytes), $number, length $bytes);
	$number++;
}
$c .= "\nconst struct asset assets[] = {\n$rows\t{ NULL, NULL, NULL, NULL, 0 },\n};\nconst size_t asset_count = $number;\n";

if (open(my $old, '<', $target)) {
	local $/;
	my $before = <$old>;
	exit 0 if defined $before && $before eq $c;
}
open(my $out, '>', "$target.new") or die "$target.new: $!\n";
print $out $c;
close $out or die "$target.new: $!\n";
rename "$target.new", $target or die "$target: $!\n";
