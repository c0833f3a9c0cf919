//! Masking. The one place where the crate asks for instructions that not every processor has: the
//! same safe loop, compiled a second time for AVX2, is nearly twice as fast on payloads in the
//! cache.
#![allow(unsafe_code)]

/// XORs `payload` with the masking key, in place; masking and unmasking are the same operation
/// (RFC 6455 §5.3).
///
/// `offset` is the position of `payload` in the frame's payload, in bytes: a payload may be
/// transformed in pieces of any size.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    // RFC 6455 §5.3: "transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)".
    let key = rotate(key, offset);
    #[cfg(target_arch = "x86_64")]
    if payload.len() >= AVX2_FROM && avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { xor_avx2(payload, key) };
        return;
    }
    xor(payload, key);
}

#[inline(always)]
fn xor(payload: &mut [u8], key: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<8>();
    let wide = wide(key);
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    // at most seven bytes
    let (half, rest) = rest.as_chunks_mut::<4>();
    if let [half] = half {
        *half = (u32::from_ne_bytes(*half) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Copies `src` to `dst` and masks it on the way; see [`apply_mask`].
///
/// # Panics
///
/// When `dst` and `src` differ in length.
#[inline]
pub fn apply_mask_to(dst: &mut [u8], src: &[u8], key: [u8; 4], offset: usize) {
    assert_eq!(dst.len(), src.len(), "source and destination of a masked copy differ in length");
    let key = rotate(key, offset);
    #[cfg(target_arch = "x86_64")]
    if src.len() >= AVX2_FROM && avx2::get() {
        // SAFETY: the processor has AVX2.
        unsafe { xor_to_avx2(dst, src, key) };
        return;
    }
    xor_to(dst, src, key);
}

#[inline(always)]
fn xor_to(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
    let (dst_words, dst_rest) = dst.as_chunks_mut::<8>();
    let (src_words, src_rest) = src.as_chunks::<8>();
    let wide = wide(key);
    for (dst, src) in dst_words.iter_mut().zip(src_words) {
        *dst = (u64::from_ne_bytes(*src) ^ wide).to_ne_bytes();
    }
    // at most seven bytes
    let (dst_half, dst_rest) = dst_rest.as_chunks_mut::<4>();
    let (src_half, src_rest) = src_rest.as_chunks::<4>();
    if let ([dst], [src]) = (dst_half, src_half) {
        *dst = (u32::from_ne_bytes(*src) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for ((dst, src), key) in dst_rest.iter_mut().zip(src_rest).zip(key) {
        *dst = src ^ key;
    }
}

/// Returns the key as the byte at `offset` of the payload sees it first.
#[inline]
fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (offset % 4) as u32).to_le_bytes()
}

#[inline]
const fn wide(key: [u8; 4]) -> u64 {
    let [a, b, c, d] = key;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(avx2, "avx2");

/// Below this the call costs more than the wider registers save.
#[cfg(target_arch = "x86_64")]
const AVX2_FROM: usize = 256;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn xor_avx2(payload: &mut [u8], key: [u8; 4]) {
    xor(payload, key);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn xor_to_avx2(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
    xor_to(dst, src, key);
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// F-8: against the loop of the RFC, for all lengths, alignments and phases.
    #[test]
    fn equals_the_naive_loop() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let source: Vec<u8> = (0..600_u32).map(|i| (i * 7 + 3) as u8).collect();
        let mut copy = vec![0; source.len()];
        for phase in 0..4 {
            for align in 0..64 {
                for len in 0..512 {
                    let src = &source[align..align + len];
                    let expected = |i: usize| src[i] ^ key[(i + phase) % 4];

                    let mut whole = source.clone();
                    apply_mask(&mut whole[align..align + len], key, phase);
                    assert!((0..len).all(|i| whole[align + i] == expected(i)));
                    assert_eq!(whole[..align], source[..align]);
                    assert_eq!(whole[align + len..], source[align + len..]);

                    let dst = &mut copy[align..align + len];
                    apply_mask_to(dst, src, key, phase);
                    assert!((0..len).all(|i| dst[i] == expected(i)));
                }
            }
        }
    }

    /// In memory of just that length, for those who watch memory (`tests/unsafe.sh`): short ones,
    /// and those for AVX2.
    #[test]
    fn nothing_else_is_touched() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        #[cfg(target_arch = "x86_64")]
        const {
            assert!(AVX2_FROM == 256)
        }
        for len in (0..40).chain(256..296) {
            let src: Box<[u8]> = (0..len).map(|i| i as u8).collect();
            let mut dst = vec![0; len].into_boxed_slice();
            apply_mask_to(&mut dst, &src, key, 0);
            assert!((0..len).all(|i| dst[i] == src[i] ^ key[i % 4]));
            apply_mask(&mut dst, key, 0);
            assert_eq!(dst, src);
        }
    }

    #[test]
    fn offsets_near_the_end_of_usize_do_not_overflow() {
        let mut payload = [0; 3];
        apply_mask(&mut payload, [1, 2, 3, 4], usize::MAX);
        assert_eq!(payload, [4, 1, 2]);
    }
}
