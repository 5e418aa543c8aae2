#!/usr/bin/perl
# service_test.pl: renovationd as a service of a real systemd: its unit, start, status, reload, upgrade, restart, sockets, watchdog, crashes, stop, journal,
# credentials and sandbox. Runs in the network of the machine that tests/system/run has booted; arguments: pid of its init, build folder, words that choose.
use strict;
use warnings;
use File::Temp;
use FindBin;
use IO::Socket::INET;
use lib $FindBin::Bin;
use JSON::PP;
use Machine;

$| = 1;
my ( $init, $build, @words ) = @ARGV;
Machine::start( $init, @words );

my $port      = 3000;
my $conf      = '/etc/renovationd/renovationd.conf';
my $simulator = 8090;
my $good      = <<"END";
app_env = "production";
gemini_base_url = "http://127.0.0.1:$simulator";
workers = 2;
END
my $examples = '/usr/share/doc/renovationd/examples';
my @keys     = qw(AIzaSySimulatorTestKey0123456789abcdefg AIzaSyAnotherSimulatorKey0123456789abcd);

# The model, for which these keys are good.
sub simulator_start {
    out_of( "systemd-run -q --unit=gemini-sim --property=Type=exec gemini-sim --port $simulator --chunk-delay-ms 5 " . join ' ', map { "--api-key $_" } @_ );
    wait_for( 'the simulator', 90, sub { ask( $simulator, 'GET', '/sim/stats' )->{status} == 200 } );
}
sub simulator_stop { out_of('systemctl stop gemini-sim') }

sub status_text { return show('StatusText') }
sub is_active   { return show('ActiveState') eq 'active' && show('SubState') eq 'running' }
sub is_serving  { return ask( $port, 'GET', '/health/ready' )->{status} == 200 }

# Stopped, without failures counted, as configured at first, and started.
sub fresh_start {
    my ($text) = @_;
    out_of('systemctl stop renovationd.socket renovationd.service; systemctl reset-failed renovationd.service 2>/dev/null || true');
    put_file( $conf, $text // $good, '0644' );
    out_of('systemctl start renovationd');
    return service_pid();
}

my ( $token, $session, $conversation ); # of the first question's owner

# The service answers without a single failure while `code` runs, but those that `allowed` matches.
sub under_load {
    my ( $code, $allowed ) = @_;
    my $load = load_start( 4, $port, 'GET', "/api/sessions/$session", token => $token, limit => 60 );
    my $error;
    eval { $code->(); 1 } or $error = $@;
    my $seen = load_stop($load);
    fail($error) if defined $error;
    my @bad = grep { $_ ne '200' && !( $allowed && /$allowed/ ) } sort keys %{$seen};
    fail( 'of ' . ( $seen->{200} || 0 ) . ' good answers, failed: ' . join ', ', map { "$seen->{$_} x $_" } @bad ) if @bad;
    fail("only $seen->{200} answers") if ( $seen->{200} || 0 ) < 20;
    return;
}

# Asks the model, and waits for the end of its answer.
sub answer_of {
    my ($question) = @_;
    my $turn = json_of( ask( $port, 'POST', "/api/conversations/$conversation/messages", token => $token, body => { content => $question } ), 202 )->{turn}{id};
    my ( $state, $answer ) = ('');
    eval {
        wait_for( 'the answer', 90, sub { $answer = ask( $port, 'GET', "/api/turns/$turn", token => $token ); ( $state = json_of( $answer, 200 )->{status} ) =~ /^(?:completed|failed|cancelled)$/ } );
    };
    fail( "the turn is: " . ( $answer ? $answer->{body} : $@ ) ) if $state ne 'completed';
    return;
}

# The manager reads what it is told a moment after it was said.
sub wait_status_text {
    my ($pattern) = @_;
    my $text = '';
    eval { wait_for( 'the status text', 90, sub { ( $text = status_text() ) =~ $pattern } ) } or fail("status text: $text, not $pattern");
    return;
}

sub serves_after_change {
    my ($main) = @_;
    wait_for( 'the service', 90, sub { is_active() && is_serving() } );
    fail( "the main process is " . service_pid() . ", not $main" ) if service_pid() != $main;
    return;
}

# ---- files -----------------------------------------------------------------------------------------------------------

check 'sysusers makes the user, tmpfiles the credential store' => sub {
    out_of('systemd-sysusers');
    out_of('systemd-tmpfiles --create');
    out_of('systemctl daemon-reload');
    fail('no user renovationd') if out_of('id -un renovationd') ne 'renovationd';
    my $mode = out_of('stat -c "%a %U" /etc/credstore');
    fail("/etc/credstore is $mode") if $mode ne '700 root';
};

check 'the units have no fault' => sub {
    # Manual pages are left out of this root.
    my ( $code, $text ) = inside('systemd-analyze verify --man=no renovationd.service renovationd.socket');
    fail("exit $code: $text") if $code != 0 || $text ne '';
};

check 'the drop-ins for newer systemd have nothing wrong but what this one does not know' => sub {
    my ($version) = out_of('systemctl --version') =~ /^systemd (\d+)/ or fail('no version');
    my @unknown;
    push @unknown, qr/notify-reload\.conf:\d+: Failed to parse service type, ignoring: notify-reload$/, qr/notify-reload\.conf:\d+: Unknown key (?:name )?'ReloadSignal' / if $version < 253;
    push @unknown, map { qr/restart-steps\.conf:\d+: Unknown key (?:name )?'$_' / } qw(RestartSteps RestartMaxDelaySec) if $version < 254;
    my $folder = '/run/systemd/system/renovationd.service.d';
    out_of("mkdir -p $folder && cp $examples/notify-reload.conf $examples/restart-steps.conf $folder/");
    my ( undef, $text ) = inside('systemd-analyze verify --man=no renovationd.service');
    out_of("rm -r $folder");
    my @said = split /\n/, $text;
    for my $line (@said) { fail("more than it does not know: $line") if !grep { $line =~ $_ } @unknown }
    for my $expected (@unknown) { fail("not $expected in: $text") if !grep { $_ =~ $expected } @said }
};

check 'exposure is at most 1.5' => sub {
    my ( $code, $text ) = inside('systemd-analyze security --offline=true --no-pager --threshold=15 renovationd.service');
    my ($level) = $text =~ /Overall exposure level for renovationd\.service: ([0-9.]+)/ or fail("no level in: $text");
    fail("exposure $level") if $code != 0 || $level > 1.5;
};

# ---- start -----------------------------------------------------------------------------------------------------------

check( 'it starts, with its secrets from credentials' => sub {
    wait_for( 'PostgreSQL', 90, sub { my ($code) = inside('pg_isready -q'); $code == 0 } );
    out_of(q{psql -qAt -U postgres -c "CREATE ROLE renovationd LOGIN PASSWORD 'secret'" -c 'CREATE DATABASE renovationd OWNER renovationd'});
    put_file( '/etc/credstore/renovationd.database-url',   "postgresql:///renovationd?host=/run/postgresql\n", '0600' );
    put_file( '/etc/credstore/renovationd.gemini-api-key', "$keys[0]\n",                                       '0600' );
    put_file( $conf, $good, '0644' );
    simulator_start( $keys[0] );
    out_of('DATABASE_URL="postgresql:///renovationd?host=/run/postgresql&user=renovationd" setpriv --reuid=renovationd --regid=renovationd --clear-groups renovationctl migrate up');
    out_of('systemctl start renovationd');
    fail( 'it is ' . show('ActiveState') . '/' . show('SubState') ) if !is_active();
} ) or Machine::give_up('the service does not start');

check 'its status text says that it listens, or how many workers are ready' => sub {
    my $text = out_of('systemctl status --no-pager -n 0 renovationd');
    fail($text) if $text !~ m{Status: ".*(?:listening on http://127\.0\.0\.1:$port|2 of 2 workers ready)};
};

check 'a question is answered end to end inside the sandbox' => sub {
    my $answer = ask( $port, 'POST', '/api/sessions', body => { title => 'Kitchen' } );
    $session = json_of( $answer, 201 )->{id};
    ($token) = $answer->{head} =~ /^x-owner-token: *(\S+)/im or fail("no token in $answer->{head}");
    $conversation = json_of( ask( $port, 'GET', "/api/sessions/$session", token => $token ), 200 )->{conversationId};
    answer_of('How long does screed dry?');
    my $messages = ask( $port, 'GET', "/api/conversations/$conversation/messages?limit=10", token => $token )->{body};
    fail($messages) if $messages !~ /screed/i;
};

check 'the sandbox is on, for the workers too' => sub {
    my @workers = workers();
    fail( 'workers: ' . @workers ) if @workers != 2;
    for my $pid ( service_pid(), @workers ) {
        my $status = out_of("cat /proc/$pid/status");
        for my $line ( 'NoNewPrivs:\s+1', 'Seccomp:\s+2', 'CapEff:\s+0+', 'CapBnd:\s+0+', 'CapPrm:\s+0+' ) {
            fail("process $pid: no $line in\n$status") if $status !~ /^$line$/m;
        }
        my $user = out_of("stat -c %U /proc/$pid");
        fail("process $pid runs as $user") if $user ne 'renovationd';
        # No secret in what other processes of the user can read, no way to write to the system.
        fail('a secret is in the environment') if out_of("tr '\\0' '\\n' </proc/$pid/environ; tr '\\0' ' ' </proc/$pid/cmdline") =~ /AIzaSy|postgresql:/;
        my ($code) = inside("nsenter -t $pid -m touch /usr/x /etc/x /var/x");
        fail("process $pid can write to /usr, /etc or /var") if $code == 0;
    }
};

check 'credentials are for the service alone' => sub {
    my ( $code, $text ) = inside('setpriv --reuid=nobody --regid=nogroup --clear-groups cat /run/credentials/renovationd.service/gemini-api-key');
    fail("nobody reads: $text") if $code == 0;
};

check 'what it needs is not denied: no warning from start to here' => sub {
    my @entries = grep { $_->{PRIORITY} <= 4 } journal( '_SYSTEMD_UNIT=renovationd.service', '+', 'UNIT=renovationd.service' );
    fail( join "\n", map { ref $_->{MESSAGE} ? 'binary' : $_->{MESSAGE} } @entries ) if @entries;
};

# ---- journal ---------------------------------------------------------------------------------------------------------

check 'the journal has native fields' => sub {
    my $id     = 'system-test-request-1';
    my $answer = ask( $port, 'GET', '/api/sessions', token => $token, headers => { 'X-Request-Id' => $id, traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } );
    fail("answer $answer->{status}") if $answer->{status} != 200;
    my $entry = wait_for( 'the entry', 90, sub { my @found = journal("REQUEST_ID=$id"); $found[0] } );
    my %expected = (
        PRIORITY => '6', SYSLOG_IDENTIFIER => 'renovationd-worker', _SYSTEMD_UNIT => 'renovationd.service', _TRANSPORT => 'journal',
        TRACE_ID => '4bf92f3577b34da6a3ce929d0e0e4736', RENOVATIOND_ROUTE => '/api/sessions', RENOVATIOND_STATUS => '200', RENOVATIOND_METHOD => 'GET'
    );
    for my $field ( sort keys %expected ) {
        fail( "$field is " . ( $entry->{$field} // 'absent' ) . ", not $expected{$field}" ) if ( $entry->{$field} // '' ) ne $expected{$field};
    }
    fail( 'WORKER is ' . ( $entry->{WORKER} // 'absent' ) ) if ( $entry->{WORKER} // '' ) !~ /^\d+$/;
    fail("MESSAGE is $entry->{MESSAGE}") if $entry->{MESSAGE} !~ /^request .*status=200/;
    ask( $port, 'GET', '/api/sessions', token => 'wrong', headers => { 'X-Request-Id' => "$id-bad" } );
    my $bad = wait_for( 'the entry of a refused request', 90, sub { my @found = journal("REQUEST_ID=$id-bad"); $found[0] } );
    fail("a refused request has PRIORITY $bad->{PRIORITY}") if $bad->{PRIORITY} ne '4';
    my @supervisor = journal( 'SYSLOG_IDENTIFIER=renovationd', '_TRANSPORT=journal' );
    fail('the supervisor wrote nothing') if !@supervisor;
};

check 'a restart of journald loses no entry of what follows' => sub {
    out_of('systemctl restart systemd-journald');
    ask( $port, 'GET', '/api/sessions', token => $token, headers => { 'X-Request-Id' => 'after-journald' } );
    wait_for( 'the entry', 90, sub { journal('REQUEST_ID=after-journald') } );
};

check 'a log file in its folder is reopened by SIGUSR1' => sub {
    my $file = '/var/log/renovationd/renovationd.log';
    my $main = fresh_start( $good . "log_file = \"$file\";\n" );
    my $ask  = sub {
        my ( $id, $where ) = @_;
        ask( $port, 'GET', '/api/sessions', token => $token, headers => { 'X-Request-Id' => $id } );
        wait_for( "the line of $id in $where", 90, sub { my ($code) = inside("grep -q '\"request_id\":\"$id\"' $where"); $code == 0 } );
    };
    $ask->( 'before-rotation', $file );
    out_of("mv $file $file.1 && systemctl kill -s USR1 --kill-whom=main renovationd");
    wait_for( 'the new file', 90, sub { my ($code) = inside("test -s $file"); $code == 0 } );
    # The workers' turn comes a moment after the supervisor's.
    my $wait_workers = sub {
        wait_for(
            'the workers', 90,
            sub {
                for my $pid ( workers() ) {
                    my ( undef, $link ) = inside("readlink /proc/$pid/fd/2");
                    return 0 if $link ne "$file\n";
                }
                return 1;
            }
        );
    };
    $wait_workers->();
    $ask->( 'after-rotation', $file );
    my ($mode) = out_of("stat -c '%a %U' $file");
    fail("the file is $mode") if $mode !~ /^6[04]0 renovationd$/;

    # What the installed logrotate file runs; logrotate itself is not here.
    my ($script) = out_of("cat $examples/logrotate/renovationd") =~ /^\s*postrotate\n(.*?)^\s*endscript$/ms or fail('no postrotate');
    put_file( '/root/postrotate', $script, '0600' );
    out_of("mv $file $file.2 && sh /root/postrotate && test -e $file");
    $wait_workers->();
    $ask->( 'after-postrotate', $file );
    out_of('systemctl stop renovationd');
    my $said = out_of('sh /root/postrotate');
    fail("it says of a service that was stopped: $said") if $said ne '';
    fresh_start();
};

# ---- reload ----------------------------------------------------------------------------------------------------------

check 'systemctl reload brings new workers and the new configuration' => sub {
    my $main   = service_pid();
    my @before = workers();
    put_file( $conf, $good =~ s/workers = 2/workers = 3/r, '0644' );
    under_load( sub { out_of('systemctl reload renovationd') } );
    serves_after_change($main);
    wait_for( 'the old workers to leave', 90, sub { my %now = map { $_ => 1 } workers(); keys %now == 3 && !grep { $now{$_} } @before } );
    wait_status_text(qr/3 of 3 workers ready/);
};

check 'a bad configuration fails the reload and changes nothing' => sub {
    my $main   = service_pid();
    my @before = sort( workers() );
    put_file( $conf, "workers = 3;\nwokers = 4;\n", '0644' );
    my ( $code, $text ) = inside('systemctl reload renovationd');
    fail("systemctl reload exited with 0: $text") if $code == 0;
    wait_status_text(qr/REJECTED: .*wokers/);
    serves_after_change($main);
    fail('workers were replaced') if "@{[ sort( workers() ) ]}" ne "@before";
    put_file( $conf, $good, '0644' );
    out_of('systemctl reload renovationd');
    wait_status_text(qr/^(?!.*REJECTED)/);
    serves_after_change($main);
};

check 'SIGHUP alone reloads too' => sub {
    my $main   = service_pid();
    my @before = workers();
    out_of('systemctl kill -s HUP --kill-whom=main renovationd');
    wait_for( 'new workers', 90, sub { my %old = map { $_ => 1 } @before; ( grep { !$old{$_} } workers() ) >= 2 } );
    serves_after_change($main);
};

# ---- renovationctl ---------------------------------------------------------------------------------------------------

check 'renovationctl is for root and the group' => sub {
    my $text = out_of('renovationctl status');
    fail($text) if $text !~ /running/;
    out_of('useradd -G renovationd opsperson');
    out_of('setpriv --reuid=opsperson --regid=opsperson --init-groups renovationctl status');
    my ( $code, $refusal ) = inside('setpriv --reuid=nobody --regid=nogroup --clear-groups renovationctl status');
    fail("nobody may use it: $refusal") if $code == 0;
};

check 'the admin listener has metrics' => sub {
    my $answer = ask( 9464, 'GET', '/metrics' );
    fail( "answer $answer->{status} " . ( $answer->{error} || '' ) ) if $answer->{status} != 200 || $answer->{body} !~ /^# TYPE /m;
};

# ---- upgrade ---------------------------------------------------------------------------------------------------------

check 'SIGUSR2 upgrades in place: same main process, new program' => sub {
    my $main   = fresh_start();
    my @before = workers();
    out_of('cp -p /usr/sbin/renovationd /usr/sbin/renovationd.new && mv /usr/sbin/renovationd.new /usr/sbin/renovationd');
    my $old = out_of("stat -L -c %i /proc/$main/exe");
    under_load(
        sub {
            out_of('systemctl kill -s USR2 --kill-whom=main renovationd');
            wait_for( 'the new program', 90, sub { my ( $code, $inode ) = inside("stat -L -c %i /proc/$main/exe"); chomp $inode; $code == 0 && $inode ne $old } );
            wait_for( 'its workers', 90, sub { my %old = map { $_ => 1 } @before; is_active() && ( grep { !$old{$_} } workers() ) >= 2 && status_text() =~ /2 of 2 workers ready/ } );
        }
    );
    serves_after_change($main);
    fail( 'restarts: ' . show('NRestarts') ) if show('NRestarts') ne '0';
};

check 'renovationctl upgrade and a reload after it work' => sub {
    my $main = service_pid();
    out_of('renovationctl upgrade --wait');
    serves_after_change($main);
    out_of('systemctl reload renovationd');
    serves_after_change($main);
};

# ---- restart and sockets ---------------------------------------------------------------------------------------------

check 'systemctl restart refuses no connection' => sub {
    my $main = fresh_start();
    under_load( sub { out_of('systemctl restart renovationd') for 1 .. 3 } );
    fail('the main process is the same') if service_pid() == $main;
    serves_after_change( service_pid() );
};

check 'a changed credential comes in by a restart, which refuses no connection, and not by a reload' => sub {
    simulator_stop();
    simulator_start( $keys[1] );
    put_file( '/etc/credstore/renovationd.gemini-api-key', "$keys[1]\n", '0600' );
    my ( $code, $text ) = inside('systemctl reload renovationd');
    fail('a reload knows the new key') if $code == 0;
    wait_status_text(qr/REJECTED: gemini/);
    under_load( sub { out_of('systemctl restart renovationd') } );
    answer_of('How long does screed dry?');
    simulator_stop();
    simulator_start( $keys[0] );
    put_file( '/etc/credstore/renovationd.gemini-api-key', "$keys[0]\n", '0600' );
    out_of('systemctl restart renovationd');
    answer_of('How long does screed dry?');
};

check 'after a stop the port is free' => sub {
    out_of('systemctl stop renovationd');
    my $answer = ask( $port, 'GET', '/health/live' );
    fail("answer $answer->{status} $answer->{error}") if $answer->{status} != 0 || $answer->{error} !~ /refused/i;
};

check 'a stop within its own deadlines is not killed, however short TimeoutStopSec is' => sub {
    out_of('mkdir -p /run/systemd/system/renovationd.service.d');
    put_file( '/run/systemd/system/renovationd.service.d/stop.conf', "[Service]\nTimeoutStopSec=1\n", '0644' );
    out_of('systemctl daemon-reload');
    fresh_start();
    # A request that never ends keeps a worker for shutdown_http_ms, three seconds.
    my $held = IO::Socket::INET->new( PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10 ) or fail("no connection: $@");
    print {$held} "POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-Owner-Token: $token\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
      . "Expect: 100-continue\r\n\r\n";
    $held->flush;
    my $said = <$held> // 'nothing';
    fail("it does not wait for the body: $said") if $said !~ m{^HTTP/1\.1 100 };
    out_of('systemctl stop renovationd');
    my $result = join ' ', map { show($_) } qw(ActiveState Result ExecMainStatus);
    fail($result) if $result ne 'inactive success 0';
    my @report = journal('EVENT=shutdown_report');
    fail( 'it ended too early to prove anything: ' . ( $report[-1]{MESSAGE} // 'no report' ) ) if ( $report[-1]{RENOVATIOND_MS} // 0 ) < 1500;
    out_of('rm -r /run/systemd/system/renovationd.service.d && systemctl daemon-reload');
};

check 'with the socket unit the first connection starts it' => sub {
    out_of('systemctl start renovationd.socket');
    fail('the service runs already') if show('ActiveState') ne 'inactive';
    my $answer = ask( $port, 'GET', '/health/ready', limit => 90 );
    fail( "answer $answer->{status} " . ( $answer->{error} || '' ) ) if $answer->{status} != 200;
    wait_for( 'the end of the start', 90, sub { is_active() } );
    under_load( sub { out_of('systemctl restart renovationd') } );
    fail( 'the socket is ' . show( 'ActiveState', 'renovationd.socket' ) ) if show( 'ActiveState', 'renovationd.socket' ) ne 'active';
    out_of('systemctl stop renovationd.socket renovationd.service');
};

# ---- crashes ---------------------------------------------------------------------------------------------------------

check 'kill -9 of the main process leaves no orphan, is followed by a new one, and refuses no connection meanwhile' => sub {
    my $main   = fresh_start();
    my @before = workers();
    under_load(
        sub {
            out_of("kill -KILL $main");
            wait_for( 'a new main process', 90, sub { is_active() && service_pid() != $main } );
        },
        # What the dead had accepted is lost.
        qr/reset|closed without|half an answer/
    );
    my @left = grep { pid_is_alive($_) } @before;
    fail("old workers live on: @left") if @left;
    fail( 'restarts: ' . show('NRestarts') ) if show('NRestarts') ne '1';
    # Others may come or go between the two looks: one that is outside stays there.
    my @strays;
    my $look = sub { my @workers = workers(); my %group = map { $_ => 1 } cgroup_pids(); @strays = grep { !$group{$_} && pid_is_alive($_) } @workers; !@strays };
    eval { wait_for( 'no worker outside', 20, $look ) } or fail("workers outside of the control group: @strays");
};

check 'kill -9 of a worker is mended by the service itself' => sub {
    my $main     = service_pid();
    my ($victim) = workers();
    out_of("kill -KILL $victim");
    wait_for( 'another worker', 90, sub { my @now = workers(); @now == 2 && !grep { $_ == $victim } @now } );
    serves_after_change($main);
};

check 'the watchdog ends a main process that hangs, and another one takes its place' => sub {
    out_of('mkdir -p /run/systemd/system/renovationd.service.d');
    put_file( '/run/systemd/system/renovationd.service.d/watchdog.conf', "[Service]\nWatchdogSec=6\nTimeoutAbortSec=5\n", '0644' );
    out_of('systemctl daemon-reload');
    my $main   = fresh_start();
    my @before = workers();
    sleep 8;
    fail('the watchdog ended a healthy service') if service_pid() != $main || show('NRestarts') ne '0';
    out_of("kill -STOP $main");
    wait_for( 'a new main process', 90, sub { is_active() && service_pid() != $main && is_serving() } );
    my @said = grep { ( $_->{MESSAGE} // '' ) =~ /Watchdog timeout/ } journal('UNIT=renovationd.service');
    fail('the watchdog said nothing') if !@said;
    my @left = grep { pid_is_alive($_) } $main, @before;
    fail("old processes live on: @left") if @left;
    out_of('rm -r /run/systemd/system/renovationd.service.d && systemctl daemon-reload');
};

# ---- starts that fail ------------------------------------------------------------------------------------------------

check 'a wrong configuration ends with 78 and is not tried again' => sub {
    out_of('systemctl stop renovationd; systemctl reset-failed renovationd 2>/dev/null || true');
    put_file( $conf, "wokers = 4;\n", '0644' );
    my ($code) = inside('systemctl start renovationd');
    fail('the start did not fail') if $code == 0;
    my $result = join ' ', map { show($_) } qw(ActiveState SubState Result ExecMainStatus NRestarts);
    fail($result) if $result ne 'failed failed exit-code 78 0';
};

check 'a refused key ends with 77 and is not tried again' => sub {
    out_of('systemctl reset-failed renovationd 2>/dev/null || true');
    put_file( $conf, $good, '0644' );
    put_file( '/etc/credstore/renovationd.gemini-api-key', "AIzaSyNotTheRightKey\n", '0600' );
    my ($code) = inside('systemctl start renovationd');
    put_file( '/etc/credstore/renovationd.gemini-api-key', "$keys[0]\n", '0600' );
    fail('the start did not fail') if $code == 0;
    my $result = join ' ', map { show($_) } qw(ActiveState SubState Result ExecMainStatus NRestarts);
    fail($result) if $result ne 'failed failed exit-code 77 0';
};

check 'where Gemini is not required it starts without it, and says so until it answers' => sub {
    out_of('systemctl reset-failed renovationd 2>/dev/null || true');
    simulator_stop();
    fresh_start( $good . "gemini_required = false;\n" );
    wait_status_text(qr/; Gemini does not answer/);
    my $gemini = json_of( ask( $port, 'GET', '/health/ready' ), 200 )->{checks}{gemini}{status};
    fail("readiness says $gemini") if $gemini ne 'failing';
    simulator_start( $keys[0] );
    answer_of('How long does screed dry?');
    wait_status_text(qr/^(?!.*Gemini)/);
    out_of('systemctl stop renovationd');
    put_file( $conf, $good, '0644' );
};

check 'a start waits for a database that comes late' => sub {
    out_of('systemctl reset-failed renovationd 2>/dev/null || true');
    out_of('systemctl stop postgresql@15-main');
    out_of('systemctl start --no-block renovationd');
    wait_for( 'a word about the wait', 90, sub { status_text() =~ /trying again/ } );
    fail( 'it is ' . show('ActiveState') ) if show('ActiveState') ne 'activating';
    out_of('systemctl start postgresql@15-main');
    wait_for( 'the start', 90, sub { is_active() } );
    fail( 'restarts: ' . show('NRestarts') ) if show('NRestarts') ne '0';
};

# ---- stop ------------------------------------------------------------------------------------------------------------

check 'a stop amid an answer is clean, within its deadline, and loses nothing' => sub {
    my $main = fresh_start();
    my $turn = json_of(
        ask( $port, 'POST', "/api/conversations/$conversation/messages", token => $token, body => { content => 'Tell me a lot. [sim:chunks=200][sim:delay=60ms]' } ), 202 )->{turn}{id};
    wait_for( 'the answer to begin', 90, sub { json_of( ask( $port, 'GET', "/api/turns/$turn", token => $token ), 200 )->{status} eq 'running' } );
    my $start = time;
    out_of('systemctl stop renovationd');
    my $took = time - $start;
    fail( 'result ' . show('Result') . ', status ' . show('ExecMainStatus') ) if show('Result') ne 'success' || show('ExecMainStatus') ne '0';
    fail("it took $took s") if $took > 40;
    fail('processes are left') if workers() || cgroup_pids();
    my ($report) = reverse journal( 'EVENT=shutdown_report', "_PID=$main" );
    fail('no report in the journal') if !$report;
    fail("report: $report->{MESSAGE}") if ( $report->{RENOVATIOND_RESULT} // '' ) !~ /^(clean|forced)$/ || ( $report->{RENOVATIOND_LOST} // '' ) ne '0';
    out_of('systemctl start renovationd');
    wait_for( 'the answer to be finished by the next start', 90, sub { json_of( ask( $port, 'GET', "/api/turns/$turn", token => $token ), 200 )->{status} eq 'completed' } );
};

check 'systemctl enable ties it to the start of the machine' => sub {
    out_of('systemctl enable -q renovationd');
    my $link = out_of('readlink /etc/systemd/system/multi-user.target.wants/renovationd.service');
    fail($link) if $link !~ m{/renovationd\.service$};
    out_of('systemctl disable -q renovationd && systemctl stop renovationd');
};

# ---- installation ----------------------------------------------------------------------------------------------------

check 'make install keeps a changed configuration, make uninstall too' => sub {
    my $to   = File::Temp::tempdir( CLEANUP => 1 );
    my $file = "$to/etc/renovationd/renovationd.conf";
    my $make = sub { system("make -C '$build' -s '$_[0]' DESTDIR='$to' >'$to.log' 2>&1") == 0 or fail( "make $_[0]:\n" . `cat '$to.log'` ); unlink "$to.log" };
    $make->('install');
    open my $out, '>>', $file or fail("$file: $!");
    print {$out} "port = 3001;\n";
    close $out;
    $make->('install-data');
    fail('the change is gone') if `tail -n 1 '$file'` ne "port = 3001;\n";
    $make->('uninstall');
    fail('a changed configuration was removed') if !-e $file;
    my @left = grep { $_ ne $file } split /\n/, `find '$to' -type f`;
    fail("left behind: @left") if @left;
};

Machine::finish();
