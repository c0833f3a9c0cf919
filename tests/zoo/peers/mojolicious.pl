# Mojolicious, both roles. It keeps its context whatever is agreed on.
use Mojo::Base -strict;
use utf8;

use Mojo::IOLoop;
use Mojo::Server::Daemon;
use Mojo::UserAgent;
use Mojolicious;

binmode STDOUT, ':encoding(UTF-8)';
$| = 1;

sub obey {
  my ($tx, $done) = @_;
  $tx->max_websocket_size(1 << 24);
  $tx->on(text => sub {
    my ($tx, $bytes) = @_;
    if    ($bytes eq 'zoo:burst') { $tx->send("burst $_") for 0 .. 499 }
    elsif ($bytes eq 'zoo:fragments') {
      $tx->send([$_ == 9, 0, 0, 0, $_ ? 0 : 1, '0123456789' x 500]) for 0 .. 9;
    }
    elsif ($bytes eq 'zoo:ping')  { $tx->send([1, 0, 0, 0, 9, 'zoo']) }
    elsif ($bytes eq 'zoo:close') { $tx->finish(4001, 'the zoo says bye ü') }
    else                          { $tx->send({text => $bytes}) }
  });
  $tx->on(binary => sub { $_[0]->send({binary => $_[1]}) });
  $tx->on(frame => sub {
    my ($tx, $frame) = @_;
    $tx->send("zoo:pong $frame->[5]") if $frame->[4] == 10;
  });
  $tx->on(finish => sub {
    my ($tx, $code, $reason) = @_;
    say "closed $code ", $reason // '';
    $done->() if $done;
  });
}

my ($mode, @urls) = @ARGV;
if ($mode eq 'client') {
  my $ua = Mojo::UserAgent->new;
  for my $url (@urls) {
    my $headers = {'Sec-WebSocket-Extensions' => 'permessage-deflate'};
    $ua->websocket($url => $headers => sub {
      my (undef, $tx) = @_;
      die 'no WebSocket' unless $tx->is_websocket;
      obey($tx, sub { Mojo::IOLoop->stop });
    });
    Mojo::IOLoop->start;
  }
  # the last Close is not written yet
  Mojo::IOLoop->timer(0.2 => sub { Mojo::IOLoop->stop });
  Mojo::IOLoop->start;
}
elsif ($mode eq 'server') {
  my $app = Mojolicious->new;
  $app->log->level('fatal');
  $app->routes->websocket('/*case' => sub {
    my $c = shift;
    $c->tx->with_compression;
    $c->rendered(101);
    $c->inactivity_timeout(60);
    obey($c->tx);
  });
  my $daemon = Mojo::Server::Daemon->new(app => $app, listen => ['http://127.0.0.1'], silent => 1);
  $daemon->start;
  say 'port ', $daemon->ports->[0];
  Mojo::IOLoop->start;
}
