use core::time::Duration;

/// When to come again, by a `Retry-After` header (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryAfter {
    /// So long after the response came.
    Delay(Duration),
    /// At this time, counted from 1970-01-01 00:00:00 UTC.
    Date(Duration),
}

impl RetryAfter {
    /// Returns how long to wait. Only a date needs to know what time it is: `now` is that, counted
    /// from 1970-01-01 00:00:00 UTC. Zero for a date that is over.
    ///
    /// The server decides how long this is: bound it before you wait.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    ///
    /// use sansws::handshake::client::Refused;
    ///
    /// fn pause(refused: &Refused) -> Option<Duration> {
    ///     let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ///     let pause = refused.retry_after()?.delay(now);
    ///     Some(pause.min(Duration::from_secs(300)))
    /// }
    /// ```
    pub fn delay(self, now: Duration) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::Date(date) => date.saturating_sub(now),
        }
    }

    /// Parses the value of the header.
    pub(super) fn parse(value: &str) -> Option<Self> {
        // RFC 9110 §10.2.3: "Retry-After = HTTP-date / delay-seconds", "delay-seconds = 1*DIGIT"
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u64::MAX); // nothing else is wrong with it
            return Some(Self::Delay(Duration::from_secs(seconds)));
        }
        parse_date(value).map(Self::Date)
    }
}

/// Parses a date of HTTP. RFC 9110 §5.6.7: "A recipient that parses a timestamp value in an HTTP
/// field MUST accept all three HTTP-date formats."
fn parse_date(text: &str) -> Option<Duration> {
    let mut parts = [""; 6];
    let mut count = 0;
    for part in text.split([' ', ',', '-']).filter(|part| !part.is_empty()) {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    let (weekday, day, month, year, time) = match parts[..count] {
        // Sun, 06 Nov 1994 08:49:37 GMT; Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, day, month, year, time, "GMT"] => (weekday, day, month, year, time),
        // Sun Nov  6 08:49:37 1994
        [weekday, month, day, time, year] => (weekday, day, month, year, time),
        _ => return None,
    };
    if !WEEKDAYS.iter().any(|name| weekday == *name || weekday == &name[..3]) {
        return None;
    }
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let day = number(day, 31)?;
    let year = match (year.len(), number(year, 9999)?) {
        (4, year) => year,
        // The RFC asks for the century that is no more than 50 years ahead of now, which is not
        // known here. This form was old in 1994, and nobody waits for decades.
        (2, year) => year + if year < 70 { 2000 } else { 1900 },
        _ => return None,
    };
    let mut clock = time.split(':');
    let mut part = |max| clock.next().filter(|it| it.len() == 2).and_then(|it| number(it, max));
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?); // 60 is a leap second
    if day == 0 || clock.next().is_some() {
        return None;
    }
    let days = u64::try_from(days_since_1970(year, month as u64, day)).unwrap_or(0);
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// A number of digits alone, up to a limit.
fn number(text: &str, max: u64) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && *number <= max)
}

/// Days of the Gregorian calendar. Years are counted from March, so that the day a leap year has
/// more is the last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.max(1) - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1;
    days as i64 - 719_468 // from 0000-03-01 to 1970-01-01
}

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: u64) -> Option<RetryAfter> {
        Some(RetryAfter::Date(Duration::from_secs(seconds)))
    }

    #[test]
    fn seconds() {
        for (value, seconds) in [("0", 0), ("120", 120), ("007", 7)] {
            let delay = RetryAfter::Delay(Duration::from_secs(seconds));
            assert_eq!(RetryAfter::parse(value), Some(delay), "{value}");
            assert_eq!(delay.delay(Duration::from_secs(9)), Duration::from_secs(seconds));
        }
        let much = RetryAfter::parse("99999999999999999999999").unwrap();
        assert_eq!(much, RetryAfter::Delay(Duration::from_secs(u64::MAX)));
        for value in ["", "-1", "+1", "1.5", "1s", "soon", "1, 2"] {
            assert_eq!(RetryAfter::parse(value), None, "{value}");
        }
    }

    /// RFC 9110 §5.6.7 has the first three.
    #[test]
    fn dates() {
        for (value, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
            ("Tuesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000), // of 2069
            ("Wed, 31 Dec 1969 23:59:59 GMT", 86_399),          // before all times: it is over
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Fri, 27 Nov 2026 02:40:19 GMT", 1_795_747_219),
            ("Friday, 27-Nov-26 02:40:19 GMT", 1_795_747_219),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(RetryAfter::parse(value), date(seconds), "{value}");
        }
        for value in [
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 194 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(RetryAfter::parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_date_needs_to_know_what_time_it_is() {
        let date = RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let now = |seconds| Duration::from_secs(seconds);
        assert_eq!(date.delay(now(784_111_700)), Duration::from_secs(77));
        assert_eq!(date.delay(now(784_111_777)), Duration::ZERO);
        assert_eq!(date.delay(now(1_795_747_219)), Duration::ZERO);
    }
}
