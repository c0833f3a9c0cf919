//! The JSON texts that compression is measured with, here and beside other engines.

/// Returns something like what an interface answers: the keys repeat, the values do not.
pub fn text(seed: usize, len: usize) -> String {
    const WORDS: [&str; 16] = [
        "amber", "binary", "copper", "delta", "ember", "falcon", "granite", "harbor", "indigo",
        "jasper", "kernel", "lagoon", "meadow", "nebula", "orchid", "prairie",
    ];
    let mut state =
        0x9e37_79b9_7f4a_7c15_u64 ^ (seed as u64 + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    };
    let mut text = String::from("{\"items\":[");
    while text.len() < len {
        let item = format!(
            "{{\"id\":{},\"name\":\"{} {}\",\"price\":{}.{:02},\"in_stock\":{},\
             \"tags\":[\"{}\",\"{}\"]}},",
            next(1_000_000),
            WORDS[next(16) as usize],
            WORDS[next(16) as usize],
            next(500),
            next(100),
            next(2) == 0,
            WORDS[next(16) as usize],
            WORDS[next(16) as usize],
        );
        text.push_str(&item);
    }
    text.truncate(len - 2);
    text + "]}"
}
