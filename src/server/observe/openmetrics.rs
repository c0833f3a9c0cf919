use alloc::string::String;
use core::fmt::{self, Write};

use super::stats::Stats;
use crate::handshake::server as handshake;
use crate::server::http::response::Response;

impl Stats {
    /// Returns all figures in the text format of OpenMetrics 1.0, for Prometheus and others: what
    /// [`Server::metrics`](crate::server::Server::metrics) serves, as
    /// [`OPENMETRICS`](Self::OPENMETRICS). About 8 KB, whatever the number of clients.
    ///
    /// The names begin with `sansws_`. Labels have a bounded number of values, none of which a
    /// client chooses.
    pub fn to_openmetrics(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        // to write into a string does not fail
        let _ = self.write(&mut text);
        text
    }

    /// The content type of [`to_openmetrics`](Self::to_openmetrics).
    pub const OPENMETRICS: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Returns what [`Server::metrics`](crate::server::Server::metrics) serves; for a browser as
    /// plain text, which it shows and does not save.
    pub(crate) fn response(&self, http: &handshake::Request) -> Response {
        let for_people = http.header("accept").is_some_and(|types| types.contains("text/html"));
        let content_type = if for_people { "text/plain; charset=utf-8" } else { Self::OPENMETRICS };
        Response::new(content_type, self.to_openmetrics()).header("Cache-Control", "no-store")
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let out = &mut Families(text);
        out.gauge("connections", "", "Open connections.", self.open())?;
        out.gauge("pending", "", "Handshakes and requests under way.", self.pending as u64)?;
        out.gauge("rooms", "", "Rooms with members, or topics without.", self.rooms as u64)?;
        let help = "Topics that remember something, or whose offsets are kept.";
        out.gauge("topics", "", help, self.topics)?;
        let help = "What the messages of topics are charged together.";
        out.gauge("history_bytes", "bytes", help, self.history_bytes)?;
        let help = "The most bytes that have waited for one client.";
        out.gauge("queue_high_water_bytes", "bytes", help, self.queue_high_water as u64)?;
        out.counter("streams_accepted", "", "Streams that were accepted.", self.accepted)?;
        out.counter("accept_errors", "", "Failures to accept a stream.", self.accept_errors)?;
        let help = "Handshakes, and what is no valid request, by the status of the answer.";
        out.counters("handshakes", help, "status", self.handshakes())?;
        let help = "Valid handshakes that were refused.";
        out.counter("refused", "", help, self.refused)?;
        let help = "Malformed requests and invalid handshakes.";
        out.counter("bad_requests", "", help, self.bad_requests)?;
        let help = "Streams that were closed before their request was complete, for others.";
        out.counter("gave_way", "", help, self.gave_way)?;
        out.counters("closed", "Connections that ended, by close code.", "code", {
            self.close_codes()
        })?;
        out.counter("received_messages", "", "Messages that were received.", self.received)?;
        let help = "Bytes of messages that were received, inflated.";
        out.counter("received_bytes", "bytes", help, self.received_bytes)?;
        out.counter("sent_messages", "", "Messages that were sent.", self.sent)?;
        let help = "Bytes of messages that were sent, before compression.";
        out.counter("sent_bytes", "bytes", help, self.sent_bytes)?;
        let help = "Bytes that were read from transports, frames as they are.";
        out.counter("transport_read_bytes", "bytes", help, self.read_bytes)?;
        let help = "Bytes that were written to transports, frames as they are.";
        out.counter("transport_written_bytes", "bytes", help, self.written_bytes)?;
        let help = "Messages that were dropped for slow clients.";
        out.counter("dropped_messages", "", help, self.dropped)?;
        out.counter("slow_closed", "", "Clients that were closed as slow.", self.slow_closed)?;
        let help = "Clients that were closed for the memory of unfinished messages.";
        out.counter("overload_closed", "", help, self.overload_closed)?;
        let help = "Clients that were closed because no message came or went for too long.";
        out.counter("idle_closed", "", help, self.idle_closed)?;
        let help = "Clients that were closed because they sent too much.";
        out.counter("rate_closed", "", help, self.rate_closed)?;
        let help = "Pauses in reading from clients that sent too much.";
        out.counter("rate_paused", "", help, self.rate_paused)?;
        let help = "Handshakes that were refused because their address sent too many.";
        out.counter("rate_refused", "", help, self.rate_refused)?;
        out.counter("panics", "", "Panics of handlers.", self.panics)?;
        self.write_backplane(out)?;
        self.write_times(out)?;
        writeln!(out.0, "# EOF")
    }

    fn write_backplane(&self, out: &mut Families<'_>) -> fmt::Result {
        let Some(plane) = &self.backplane else { return Ok(()) };
        let help = "Whether the engine of the backplane is connected.";
        out.gauge("backplane_up", "", help, u64::from(plane.up))?;
        let help = "What was published to other servers.";
        out.counter("backplane_published", "", help, plane.published)?;
        let help = "What was not, because the engine was away or its queue full.";
        out.counter("backplane_not_published", "", help, plane.not_published)?;
        let help = "What has come from other servers.";
        out.counter("backplane_received", "", help, plane.received)?;
        let help = "What has come and was malformed.";
        out.counter("backplane_invalid", "", help, plane.invalid)?;
        let help = "What was lost in a queue, or with the connection to the engine.";
        out.counter("backplane_lost", "", help, plane.lost)?;
        let help = "What others have published and what has not come.";
        out.counter("backplane_missed", "", help, plane.missed)?;
        let help = "What has come twice, or too late, and was dropped.";
        out.counter("backplane_duplicates", "", help, plane.duplicates)?;
        let help = "Losses of the connection to the engine of the backplane.";
        out.counter("backplane_outages", "", help, plane.outages)?;
        let help = "Other servers that are known.";
        out.gauge("backplane_servers", "", help, plane.servers as u64)
    }

    /// Without calls there is no histogram: they may be counted nowhere.
    fn write_times(&self, out: &mut Families<'_>) -> fmt::Result {
        let Some((_, calls)) = self.handler_times().last().filter(|it| it.1 > 0) else {
            return Ok(());
        };
        let help = "Times that calls of handlers took, waiting included.";
        out.begin("handler_seconds", "histogram", "seconds", help)?;
        for (bound, calls) in self.handler_times() {
            match bound {
                Some(bound) => {
                    let bound = bound.as_secs_f64();
                    // "1.0": OpenMetrics wants the point
                    writeln!(out.0, "sansws_handler_seconds_bucket{{le=\"{bound:?}\"}} {calls}")?;
                }
                None => writeln!(out.0, "sansws_handler_seconds_bucket{{le=\"+Inf\"}} {calls}")?,
            }
        }
        writeln!(out.0, "sansws_handler_seconds_count {calls}")?;
        writeln!(out.0, "sansws_handler_seconds_sum {:?}", self.handler_time().as_secs_f64())
    }
}

/// A text of metric families, one after the other.
struct Families<'a>(&'a mut String);

impl Families<'_> {
    fn begin(&mut self, name: &str, kind: &str, unit: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# TYPE sansws_{name} {kind}")?;
        if !unit.is_empty() {
            writeln!(self.0, "# UNIT sansws_{name} {unit}")?;
        }
        writeln!(self.0, "# HELP sansws_{name} {help}")
    }

    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: u64) -> fmt::Result {
        self.begin(name, "gauge", unit, help)?;
        writeln!(self.0, "sansws_{name} {value}")
    }

    fn counter(&mut self, name: &str, unit: &str, help: &str, value: u64) -> fmt::Result {
        self.begin(name, "counter", unit, help)?;
        writeln!(self.0, "sansws_{name}_total {value}")
    }

    /// Writes a counter for each value of a label. None of the values has to be escaped.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        self.begin(name, "counter", "", help)?;
        for (value, count) in values {
            writeln!(self.0, "sansws_{name}_total{{{label}=\"{value}\"}} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;
    use core::array::from_fn;

    use super::*;
    use crate::server::backplane::BackplaneStats;
    use crate::server::observe::stats::Times;

    /// Every figure is in the text, once. All fields are named: one that is new does not compile
    /// until it is here, and is not found until it is written.
    #[test]
    fn nothing_is_left_out() {
        let mut numbers = Vec::new();
        let mut number = || {
            numbers.push(1000 + numbers.len() as u64);
            1000 + numbers.len() as u64 - 1
        };
        let stats = Stats {
            accepted: number(),
            pending: number() as usize,
            opened: number(),
            closed: 7, // `closes` has it by codes
            bad_requests: number(),
            refused: number(),
            gave_way: number(),
            received: number(),
            received_bytes: number(),
            sent: number(),
            sent_bytes: number(),
            read_bytes: number(),
            written_bytes: number(),
            queue_high_water: number() as usize,
            dropped: number(),
            slow_closed: number(),
            overload_closed: number(),
            idle_closed: number(),
            rate_closed: number(),
            rate_paused: number(),
            rate_refused: number(),
            panics: number(),
            accept_errors: number(),
            topics: number(),
            history_bytes: number(),
            rooms: number() as usize,
            backplane: Some(BackplaneStats {
                up: true,
                published: number(),
                not_published: number(),
                received: number(),
                invalid: number(),
                lost: number(),
                missed: number(),
                duplicates: number(),
                outages: number(),
                servers: number() as usize,
            }),
            refusals: from_fn(|_| number()),
            closes: from_fn(|_| number()),
            times: Times { calls: from_fn(|at| at as u64), micros: 123_456 },
        };
        let text = stats.to_openmetrics();
        for number in numbers.iter().copied().chain([stats.open(), 78]) {
            let end = format!(" {number}");
            let found = text.lines().filter(|line| line.ends_with(&end)).count();
            let most = if number == 78 { 2 } else { 1 }; // all calls are a bucket, and the count
            assert_eq!(found, most, "{number} in\n{text}");
        }
        assert!(text.contains("sansws_handler_seconds_sum 0.123456\n"), "{text}");
    }
}
