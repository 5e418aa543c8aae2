#!/usr/bin/perl
# sandbox_test.pl: the black-box tests under the restrictions of renovationd.service: each program runs as a transient unit of the booted machine with the
# unit's own sandbox, programs under test and all. Started by tests/system/run like service_test.pl; arguments: pid of init, build folder with the
# test programs, their names.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Copy;
use Machine;

$| = 1;
my ( $init, $root, $build, @tests ) = @ARGV;
Machine::start($init);

my $folder = '/usr/local/lib/renovationd-tests';

# These put other programs in the place of renovationd, where the shim below would be one of them: they run without it, in a folder of their own.
my %without_shim = map { $_ => 1 } qw(upgrade_test);
my $plain        = "$folder/plain";

# What tests call by name and the booted Debian does not have; from this machine, which ./dev has given it.
my @borrowed = qw(promtool);

# What is the service's life, not its sandbox; folders are the test's own.
my $not_sandbox = qr/^(?:Type|NotifyAccess|Exec\w+|Environment\w*|LoadCredential|Restart\w*|Timeout\w+|Watchdog\w+|KillMode|FileDescriptorStoreMax|
	OOMPolicy|TasksMax|(?:Runtime|State|Logs)Directory\w*|StandardError)$/x;

# -p arguments for systemd-run: every line of the unit's [Service] that restricts.
sub sandbox {
    my ( @properties, $section );
    for my $line ( split /\n/, out_of('systemctl cat renovationd.service') ) {
        $section = $1 if $line =~ /^\[(\w+)\]/;
        next if !defined $section || $section ne 'Service' || $line !~ /^(\w+)=(.*)$/;
        push @properties, "-p '$1=$2'" if $1 !~ $not_sandbox;
    }
    # Criterion starts each test in a process of its own, for which it looks at its memory map and writes into its own program. Our programs must not: see shim.
    return ( ( grep { !/MemoryDenyWriteExecute/ } @properties ), "-p 'SystemCallFilter=mincore'" );
}

# Stands where the tests look for renovationd: denies itself memory that is both writable and executable, for good (PR_SET_MDWE, inherited by everything that
# it starts), and becomes the program.
my $shim = <<"END";
#!/usr/bin/perl
syscall( 157, 65, 1, 0, 0, 0 ) == 0 or die "PR_SET_MDWE: \$!\n";
exec '$folder/programs/renovationd', \@ARGV or die "renovationd: \$!\n";
END

sub install_tests {
    my @programs = qw(renovationd renovationd-worker renovationctl gemini-sim impostor);
    my $put      = sub {
        my ( $from, $to ) = @_;
        copy( $from, "$root$folder/$to" ) or die "$from: $!";
        chmod 0755, "$root$folder/$to" or die "$to: $!";
    };
    for my $path ( $folder, "$folder/programs", $plain ) { mkdir "$root$path" or die "$path: $!" }
    $put->( "$build/$_", "programs/$_" ) for @programs;
    $put->( "$build/$_", "plain/$_" ) for @programs, grep { $without_shim{$_} } @tests;
    $put->( "$build/$_", $_ ) for @programs, grep { !$without_shim{$_} } @tests;
    for my $name (@borrowed) {
        my ($path) = grep { -x } map { "$_/$name" } qw(/usr/bin /usr/sbin);
        next if !defined $path;
        copy( $path, "$root/usr/local/bin/$name" ) or die "$path: $!";
        chmod 0755, "$root/usr/local/bin/$name" or die "$name: $!";
    }
    # Linux 6.3 has it; nothing else here depends on it.
    my $probe = fork // die "fork: $!";
    exit( syscall( 157, 65, 1, 0, 0, 0 ) == 0 ? 0 : 1 ) if !$probe;
    waitpid $probe, 0;
    if ( $? != 0 ) {
        print "# this kernel cannot deny writable and executable memory to programs: MemoryDenyWriteExecute is left to service_test.pl\n";
        return;
    }
    open my $out, '>', "$root$folder/renovationd" or die "shim: $!";
    print {$out} $shim;
    close $out or die "shim: $!";
    return;
}

sub run_test {
    my ( $name, @properties ) = @_;
    my $program = $without_shim{$name} ? "$plain/$name" : "$folder/$name";
    my ( $code, $text ) = inside(
        "systemd-run --quiet --wait --pipe --collect --unit=sandbox-$name -p Type=exec -p TimeoutStopSec=20 -p RuntimeMaxSec=600 @properties "
          . "-p Environment='RENOVATIOND_TEST_CLUSTER=/run/postgresql:5432 LC_ALL=C.UTF-8 HOME=/tmp' -p WorkingDirectory=/tmp $program --jobs 4 --timeout 180 </dev/null" );
    $text =~ s/\e\[[0-9;]*m//g;
    my ( $tested, $passing ) = $text =~ /Tested: (\d+) \| Passing: (\d+) /;
    my $last = join "\n", grep { !/^\{"ts"/ } split /\n/, substr $text, -12000;
    fail("it did not come to its end (exit code $code):\n$last") if !defined $tested;
    fail( ( $tested - $passing ) . " of $tested failed (exit code $code):\n$last" ) if $code != 0 || $tested != $passing || $tested == 0;
    print "# $name: $tested tests\n";
    return;
}

install_tests();
my @properties = sandbox();
check 'the sandbox is that of the unit' => sub {
    fail("only @properties") if @properties < 30;
    out_of('systemd-sysusers');
    wait_for( 'PostgreSQL', 90, sub { my ($code) = inside('pg_isready -q'); $code == 0 } );
    out_of(q{psql -qAt -U postgres -c "CREATE ROLE renovationd LOGIN CREATEDB PASSWORD 'secret'"});
    my $status = out_of("systemd-run --quiet --wait --pipe --collect @properties cat /proc/self/status");
    fail($status) if $status !~ /^Seccomp:\s+2$/m || $status !~ /^CapBnd:\s+0+$/m || $status !~ /^NoNewPrivs:\s+1$/m;
};
for my $name (@tests) {
    ( my $words = $name ) =~ s/_test$//;
    check "black box $words passes under the unit's sandbox" => sub { run_test( $name, @properties ) };
}
Machine::finish();
