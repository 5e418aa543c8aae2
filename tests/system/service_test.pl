#!/usr/bin/perl
# service_test.pl: renovationd as a service of a real systemd: its unit, start, status, reload, upgrade, restart, sockets, watchdog, crashes, stop, journal,
# credentials and sandbox. Runs in the network of the machine that tests/system/run has booted; arguments: pid of its init, build folder, words that choose.
use strict;
use warnings;
use FindBin;
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

sub status_text { return show('StatusText') }
sub is_active   { return show('ActiveState') eq 'active' && show('SubState') eq 'running' }

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

check 'exposure is at most 1.5' => sub {
    my ( $code, $text ) = inside('systemd-analyze security --offline=true --no-pager --threshold=15 renovationd.service');
    my ($level) = $text =~ /Overall exposure level for renovationd\.service: ([0-9.]+)/ or fail("no level in: $text");
    fail("exposure $level") if $code != 0 || $level > 1.5;
};

# ---- start -----------------------------------------------------------------------------------------------------------

check 'it starts, with its secrets from credentials' => sub {
    wait_for( 'PostgreSQL', 30, sub { my ($code) = inside('pg_isready -q'); $code == 0 } );
    out_of(q{psql -qAt -U postgres -c "CREATE ROLE renovationd LOGIN PASSWORD 'secret'" -c 'CREATE DATABASE renovationd OWNER renovationd'});
    put_file( '/etc/credstore/renovationd.database-url',   "postgresql:///renovationd?host=/run/postgresql\n", '0600' );
    put_file( '/etc/credstore/renovationd.gemini-api-key', "AIzaSySimulatorTestKey0123456789abcdefg\n",         '0600' );
    put_file( $conf, $good, '0644' );
    out_of("systemd-run -q --unit=gemini-sim --property=Type=exec gemini-sim --port $simulator --chunk-delay-ms 5 --api-key AIzaSySimulatorTestKey0123456789abcdefg");
    out_of('DATABASE_URL="postgresql:///renovationd?host=/run/postgresql&user=renovationd" setpriv --reuid=renovationd --regid=renovationd --clear-groups renovationctl migrate up');
    out_of('systemctl start renovationd');
    fail( 'it is ' . show('ActiveState') . '/' . show('SubState') ) if !is_active();
};

check 'its status text says how many workers are ready' => sub {
    my $text = out_of('systemctl status --no-pager -n 0 renovationd');
    fail($text) if $text !~ /Status: ".*2 of 2 workers ready/;
};

my ( $token, $session, $conversation );

check 'a question is answered end to end inside the sandbox' => sub {
    my $answer = ask( $port, 'POST', '/api/sessions', body => { title => 'Kitchen' } );
    $session = json_of( $answer, 201 )->{id};
    ($token) = $answer->{head} =~ /^x-owner-token: *(\S+)/im or fail("no token in $answer->{head}");
    $conversation = json_of( ask( $port, 'GET', "/api/sessions/$session", token => $token ), 200 )->{conversationId};
    my $turn = json_of( ask( $port, 'POST', "/api/conversations/$conversation/messages", token => $token, body => { content => 'How long does screed dry?' } ), 202 )->{turn}{id};
    wait_for( 'the answer', 20, sub { json_of( ask( $port, 'GET', "/api/turns/$turn", token => $token ), 200 )->{status} eq 'completed' } );
    my $messages = ask( $port, 'GET', "/api/conversations/$conversation/messages?limit=10", token => $token )->{body};
    fail($messages) if $messages !~ /screed/i;
};

check 'the stop is clean and within its deadline' => sub {
    my $start = time;
    out_of('systemctl stop renovationd');
    my $took = time - $start;
    fail( 'result ' . show('Result') . ', status ' . show('ExecMainStatus') ) if show('Result') ne 'success' || show('ExecMainStatus') ne '0';
    fail("it took $took s") if $took > 12;
    fail('processes are left') if workers();
};

Machine::finish();
