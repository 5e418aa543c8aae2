# Machine.pm: a booted systemd as tests use it: commands inside of it, its service's properties and journal, HTTP to it, waiting, and TAP.
# Used by service_test.pl, which run starts in the machine's network and with the pid of its init.
package Machine;
use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(check skipped finish fail inside out_of show wait_for put_file journal ask json_of load_start load_stop service_pid workers pid_is_alive cgroup_pids time sleep);

my ( $init, $number, $bad, @wanted ) = ( 0, 0, 0 );

sub start { ( $init, @wanted ) = @_; return }

# ---- TAP ---------------------------------------------------------------------------------------------------------------

sub fail { my ($why) = @_; die "$why\n" }

# check "a sentence", sub { … fail "why" … }: one check; false when it failed. Words of the command line choose among them.
sub check {
    my ( $name, $code ) = @_;
    return 1 if @wanted && !grep { index( $name, $_ ) >= 0 } @wanted;
    my $start = time;
    my $since = time;
    $number++;
    if ( eval { $code->(); 1 } ) {
        printf "ok %d - %s (%d ms)\n", $number, $name, ( time - $start ) * 1000;
        return 1;
    }
    my $why = $@;
    $bad++;
    printf "not ok %d - %s (%d ms)\n", $number, $name, ( time - $start ) * 1000;
    print map { "#   $_\n" } split /\n/, $why;
    print map { "#     $_\n" } split /\n/, inside_out("systemctl status --no-pager -n 0 renovationd; journalctl --no-pager -o short-monotonic --since \@$since | tail -n 40");
    return 0;
}

sub skipped {
    my ( $name, $why ) = @_;
    return if @wanted && !grep { index( $name, $_ ) >= 0 } @wanted;
    $number++;
    print "ok $number - $name # SKIP $why\n";
    return;
}

# Nothing that follows can hold.
sub give_up { my ($why) = @_; $number++; print "not ok $number - the rest was not tried: $why\n1..$number\n"; exit 1 }

sub finish { print "1..$number\n"; exit( $bad ? 1 : 0 ) }

# ---- commands in the machine -----------------------------------------------------------------------------------------

# Runs a shell command there: exit code, standard output and error together.
sub inside {
    my ($command) = @_;
    open my $pipe, '-|', 'nsenter', '-t', $init, '-a', 'env', '-i', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8', 'sh', '-c', "exec 2>&1; $command"
      or die "nsenter: $!";
    local $/;
    my $text = <$pipe>;
    close $pipe;
    return ( $? >> 8, defined $text ? $text : '' );
}

sub inside_out { my ( undef, $text ) = inside(@_); return $text }

# The same for what must work; without the last newline.
sub out_of {
    my ($command) = @_;
    my ( $code, $text ) = inside($command);
    fail("\"$command\" exited with $code: $text") if $code != 0;
    chomp $text;
    return $text;
}

sub put_file {
    my ( $path, $text, $mode ) = @_;
    open my $pipe, '|-', 'nsenter', '-t', $init, '-a', 'sh', '-c', "umask 077; cat >'$path.new' && chmod $mode '$path.new' && mv '$path.new' '$path'" or die "nsenter: $!";
    print {$pipe} $text;
    close $pipe or fail("cannot write $path in the machine");
    return;
}

# ---- the service -----------------------------------------------------------------------------------------------------

sub show { my ( $property, $unit ) = @_; return out_of( "systemctl show -P $property " . ( $unit || 'renovationd.service' ) ) }

sub service_pid { return show('MainPID') }

# Processes of a unit's control group, as the machine numbers them.
sub cgroup_pids {
    my ($unit) = @_;
    my $group = show( 'ControlGroup', $unit );
    return () if $group eq '';
    my $list = inside_out("cat /sys/fs/cgroup/systemd$group/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup$group/cgroup.procs 2>/dev/null");
    return grep { /^\d+$/ } split /\n/, $list;
}

sub workers { return grep { /^\d+$/ } split /\n/, inside_out('pgrep -x renovationd-wor') }

sub pid_is_alive { my ($pid) = @_; my ($code) = inside("test -e /proc/$pid/exe"); return $code == 0 }

# Entries of the journal that match, newest last.
sub journal {
    my (@matches) = @_;
    inside_out('journalctl --sync');
    return map { decode_json($_) } grep { /^\{/ } split /\n/, inside_out( 'journalctl --no-pager -o json ' . join ' ', map { "'$_'" } @matches );
}

# wait_for "what", seconds, sub: until it returns something true, which is the result.
sub wait_for {
    my ( $what, $limit, $code ) = @_;
    my $deadline = time + $limit;
    while (1) {
        my $result = $code->();
        return $result if $result;
        fail("$what: not within $limit s") if time > $deadline;
        sleep 0.03;
    }
}

# ---- HTTP ------------------------------------------------------------------------------------------------------------

# One request on a connection of its own: { status, head, body }; status 0 with {error} when there is no whole answer.
sub ask {
    my ( $port, $method, $path, %o ) = @_;
    my $limit  = $o{limit} || 60;
    my $socket = IO::Socket::INET->new( PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => $limit )
      or return { status => 0, error => "connect: $!", head => '', body => '' };
    my $body = defined $o{body} ? ( ref $o{body} ? encode_json( $o{body} ) : $o{body} ) : '';
    my $head = "$method $path HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n";
    $head .= "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n" if defined $o{body};
    $head .= "X-Owner-Token: $o{token}\r\n" if $o{token};
    $head .= "$_: $o{headers}{$_}\r\n" for sort keys %{ $o{headers} || {} };
    local $SIG{PIPE} = 'IGNORE';
    $socket->syswrite("$head\r\n$body");
    my ( $all, $select, $deadline ) = ( '', IO::Select->new($socket), time + $limit );

    while (1) {
        my $is_readable = $select->can_read(0.5); # or a signal came
        return { status => 0, error => 'timeout', head => $all, body => '' } if !$is_readable && time > $deadline;
        next if !$is_readable;
        my $count = $socket->sysread( $all, 65536, length $all );
        return { status => 0, error => "read: $!", head => $all, body => '' } if !defined $count;
        last if $count == 0;
    }
    my ( $top, $rest ) = split /\r\n\r\n/, $all, 2;
    return { status => 0, error => 'closed without an answer', head => $all, body => '' } if !defined $rest || $top !~ m{^HTTP/1\.1 (\d+)};
    my $status = $1;
    if ( $top =~ /^transfer-encoding: *chunked/im ) {
        my $text = '';
        $text .= substr $rest, 0, hex $1, '' and substr $rest, 0, 2, '' while $rest =~ s/^([0-9a-f]+)\r\n//i && hex $1;
        $rest = $text;
    }
    elsif ( $top =~ /^content-length: *(\d+)/im && length $rest != $1 ) {
        return { status => 0, error => 'half an answer', head => $top, body => $rest };
    }
    return { status => $status, head => $top, body => $rest };
}

sub json_of {
    my ( $answer, $status ) = @_;
    fail( "answer $answer->{status} instead of $status: " . ( $answer->{error} || $answer->{body} ) ) if $answer->{status} != $status;
    return decode_json( $answer->{body} );
}

# ---- load ------------------------------------------------------------------------------------------------------------

# So many clients, each asking over and over on new connections, until load_stop. Each has had an answer when this returns.
sub load_start {
    my ( $clients, @question ) = @_;
    my @load;
    for ( 1 .. $clients ) {
        pipe my $read, my $write or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            my ( $is_over, $asked, %count ) = ( 0, 0 );
            local $SIG{TERM} = sub { $is_over = 1 };
            while ( !$is_over || $asked < 10 ) {
                my $answer = ask(@question);
                $count{ $answer->{status} || $answer->{error} }++;
                syswrite $write, '.' if $asked++ == 0;
                sleep 0.003;
            }
            syswrite $write, encode_json( \%count );
            close $write;
            exit 0;
        }
        close $write;
        push @load, { pid => $pid, read => $read };
    }
    for my $client (@load) { read $client->{read}, my $dot, 1 }
    return \@load;
}

# How often each status, or each kind of failure, was seen.
sub load_stop {
    my ($load) = @_;
    my %sum;
    kill 'TERM', map { $_->{pid} } @{$load};
    for my $client ( @{$load} ) {
        my $handle = $client->{read};
        my $count  = decode_json( <$handle> // '{}' );
        waitpid $client->{pid}, 0;
        $sum{$_} += $count->{$_} for keys %{$count};
    }
    return \%sum;
}

1;
