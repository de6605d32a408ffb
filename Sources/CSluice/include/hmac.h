// HMAC-SHA256 (RFC 2104, FIPS 180-4) of short texts by one key: both blocks that depend on the key are absorbed once, and
// nothing is allocated.
#ifndef CSLUICE_HMAC_H
#define CSLUICE_HMAC_H

#include <stddef.h>
#include <stdint.h>

/// A key, made ready.
struct sluice_hmac {
    uint32_t inner[8];
    uint32_t outer[8];
};

/// `key` may have any length; one beyond 64 bytes counts as its SHA-256.
void sluice_hmac_init(struct sluice_hmac *hmac, const uint8_t *key, size_t length);

/// `p` may be null where `length` is 0.
void sluice_hmac(const struct sluice_hmac *hmac, const uint8_t *p, size_t length, uint8_t out[32]);

void sluice_sha256(const uint8_t *p, size_t length, uint8_t out[32]);

#endif
