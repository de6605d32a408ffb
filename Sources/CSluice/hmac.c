#include "hmac.h"

#include <string.h>

// The constants of SHA-256: the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// The square roots of the first 8 primes (FIPS 180-4, 5.3.3).
static const uint32_t first_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t load(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store(uint8_t *p, uint32_t x) {
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

// One block of 64 bytes (FIPS 180-4, 6.2.2).
static void absorb(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++) w[t] = load(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        const uint32_t x = w[t - 15], y = w[t - 2];
        const uint32_t s0 = rotate(x, 7) ^ rotate(x, 18) ^ x >> 3, s1 = rotate(y, 17) ^ rotate(y, 19) ^ y >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        const uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), choice = (e & f) ^ (~e & g);
        const uint32_t t1 = h + s1 + choice + round_constants[t] + w[t];
        const uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
        const uint32_t t2 = s0 + majority;
        h = g; g = f; f = e; e = d + t1;
        d = c; c = b; b = a; a = t1 + t2;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

// Ends a digest of which `before` bytes, whole blocks, are in the state already.
static void finish(uint32_t state[8], size_t before, const uint8_t *p, size_t length, uint8_t out[32]) {
    uint8_t last[128] = {0};
    const uint64_t bits = ((uint64_t)before + length) * 8;
    while (length >= 64) {
        absorb(state, p);
        p += 64;
        length -= 64;
    }
    if (length > 0) memcpy(last, p, length);
    last[length] = 0x80;
    const size_t end = length < 56 ? 64 : 128;
    store(last + end - 8, (uint32_t)(bits >> 32));
    store(last + end - 4, (uint32_t)bits);
    absorb(state, last);
    if (end == 128) absorb(state, last + 64);
    for (int i = 0; i < 8; i++) store(out + 4 * i, state[i]);
}

void sluice_sha256(const uint8_t *p, size_t length, uint8_t out[32]) {
    uint32_t state[8];
    memcpy(state, first_state, sizeof state);
    finish(state, 0, p, length, out);
}

void sluice_hmac_init(struct sluice_hmac *hmac, const uint8_t *key, size_t length) {
    uint8_t block[64] = {0}, pad[64];
    if (length > 64) {
        sluice_sha256(key, length, block);
    } else if (length > 0) {
        memcpy(block, key, length);
    }
    memcpy(hmac->inner, first_state, sizeof first_state);
    memcpy(hmac->outer, first_state, sizeof first_state);
    for (int i = 0; i < 64; i++) pad[i] = block[i] ^ 0x36;
    absorb(hmac->inner, pad);
    for (int i = 0; i < 64; i++) pad[i] = block[i] ^ 0x5c;
    absorb(hmac->outer, pad);
}

void sluice_hmac(const struct sluice_hmac *hmac, const uint8_t *p, size_t length, uint8_t out[32]) {
    uint32_t state[8];
    uint8_t inner[32];
    memcpy(state, hmac->inner, sizeof state);
    finish(state, 64, p, length, inner);
    memcpy(state, hmac->outer, sizeof state);
    finish(state, 64, inner, sizeof inner, out);
}
