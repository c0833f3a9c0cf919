//! A simulation that is sent to all who watch: five double pendulums that start almost alike.
//!
//! A message is `<seconds> <angle> <angle> …`, two angles in radians for each pendulum, from the
//! upper arm on. It is all there is to know, so that a message that is missed is not missed for
//! long, and whoever comes later needs nothing from before.

use std::f64::consts::PI;
use std::sync::Arc;
use std::time::Duration;

use sansws::PreparedMessage;
use sansws::server::{Handler, Hub, handler_fn};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

/// The room of those who watch. A room of the chat has no slash in its name.
const WATCHERS: &str = "/feed";

/// Messages in a second.
const RATE: u32 = 60;

/// After this many messages the pendulums start again.
const RUN: u32 = 45 * RATE;

/// The handler for those who watch, and the task that sends to them.
pub fn start(hub: Hub) -> impl Handler {
    let arrived = Arc::new(Notify::new());
    tokio::spawn(push(hub, Arc::clone(&arrived)));
    handler_fn().on_open(move |client| {
        let _ = client.join(WATCHERS); // unless it has gone already
        arrived.notify_one();
    })
}

/// Sends while somebody watches, and sleeps while nobody does.
async fn push(hub: Hub, arrived: Arc<Notify>) {
    loop {
        // who comes between the last look at the room and this has left a permit
        arrived.notified().await;
        let mut clock = interval(Duration::from_secs(1) / RATE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pendulums = Pendulum::almost_alike();
        for step in (0..RUN).cycle() {
            clock.tick().await;
            let watchers = hub.room(WATCHERS).clients();
            if watchers.is_empty() {
                break;
            }
            if step == 0 {
                pendulums = Pendulum::almost_alike();
            }
            pendulums.iter_mut().for_each(Pendulum::advance);
            // only a ping can be too long
            let Ok(message) = PreparedMessage::new(describe(step, &pendulums)) else { return };
            for watcher in watchers {
                // A picture that comes late is worth nothing: who has not taken the last one does
                // without this one. (`Server::slow_clients` is for all clients, and the chat wants
                // no gaps.)
                if watcher.queued() == 0 {
                    let _ = watcher.send(&message);
                }
            }
        }
    }
}

fn describe(step: u32, pendulums: &[Pendulum]) -> String {
    let mut text = format!("{:.2}", f64::from(step) / f64::from(RATE));
    for pendulum in pendulums {
        let [upper, lower, ..] = pendulum.0;
        text.push_str(&format!(" {upper:.3} {lower:.3}"));
    }
    text
}

/// Two arms of one metre with a kilogram at the end of each: their angles from hanging down, and
/// how fast these change.
struct Pendulum([f64; 4]);

impl Pendulum {
    /// The page's legend has the differences.
    fn almost_alike() -> [Self; 5] {
        let start = 0.66 * PI;
        [0.0, 1.0, 2.0, 3.0, 4.0].map(|n| Self([start + n * 2e-4, start + 0.4, 0.0, 0.0]))
    }

    /// On by the time between two messages (Runge-Kutta).
    fn advance(&mut self) {
        const STEPS: u32 = 8;
        let h = 1.0 / f64::from(RATE * STEPS);
        for _ in 0..STEPS {
            let now = self.0;
            let a = change(now);
            let b = change(along(now, a, h / 2.0));
            let c = change(along(now, b, h / 2.0));
            let d = change(along(now, c, h));
            let mean = [0, 1, 2, 3].map(|i| (a[i] + 2.0 * (b[i] + c[i]) + d[i]) / 6.0);
            self.0 = along(now, mean, h);
        }
    }
}

fn along(from: [f64; 4], change: [f64; 4], h: f64) -> [f64; 4] {
    [0, 1, 2, 3].map(|i| from[i] + change[i] * h)
}

fn change([a, b, va, vb]: [f64; 4]) -> [f64; 4] {
    const G: f64 = 9.81;
    let (sin, cos) = (a - b).sin_cos();
    let divisor = 3.0 - (2.0 * (a - b)).cos();
    let upper =
        -3.0 * G * a.sin() - G * (a - 2.0 * b).sin() - 2.0 * sin * (vb.powi(2) + va.powi(2) * cos);
    let lower = 2.0 * sin * (2.0 * va.powi(2) + 2.0 * G * a.cos() + vb.powi(2) * cos);
    [va, vb, upper / divisor, lower / divisor]
}
