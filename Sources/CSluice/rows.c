#include "slots.h"

int sluice_fill_slots(sluice_field_slot *slots, sluice_key_table names, const sluice_field *fields, int64_t field_count) {
    int probes = 0;
    const size_t count = (size_t)1 << (64 - names.shift);
    for (size_t i = 0; i < count; i++) {
        const sluice_key_slot *name = names.slots + i;
        const int is_quick = name->number >= 0 && name->number < field_count;
        const sluice_field *field = is_quick ? fields + name->number : NULL;
        slots[i] = (sluice_field_slot){name->low, name->high, field, is_quick ? field->read : NULL};
        probes |= name->number >= 0 && sluice_key_place(names, name->low, name->high) != i;
    }
    return probes;
}

/// A key: where its opening quote is, and how many bytes its name has with its closing quote, but 16 at most.
typedef struct {
    const uint8_t *p;
    unsigned bytes;
} found_key;

/// The key behind a comma and blank space at p, of which SLUICE_FIELD_BYTES may be read. NULL: something else is there, or more blank
/// space.
SLUICE_INLINE found_key key_behind_blanks(const uint8_t *p) {
#if defined(SLUICE_SSE2)
    // Both quotes are found in one go, for they are what all that follows waits for; what lies before them is only checked.
    // A quote at once has no comma before it.
    const uint32_t quotes = (sluice_quotes(p) | sluice_quotes(p + 16) << 16) & ~1U;
    const uint32_t rest = (quotes & (quotes - 1)) | 0x80000000U;
    const unsigned first = (unsigned)__builtin_ctz(quotes | 0x80000000U);
    unsigned bytes = (unsigned)__builtin_ctz(rest) - first;
    if (UNLIKELY(bytes > SLUICE_KEY_BYTES)) bytes = SLUICE_KEY_BYTES;
    if (UNLIKELY(sluice_skip_mark(p, ',') != (ptrdiff_t)first)) return (found_key){NULL, 0};
    return (found_key){p + first, bytes};
#else
    const ptrdiff_t length = sluice_skip_mark(p, ',');
    if (length == 0 || p[length] != '"') return (found_key){NULL, 0};
    return (found_key){p + length, sluice_name_bytes(p + length + 1)};
#endif
}

/// All fields from p on, or (`is_behind`) from what stands behind a value on. `spaced` is the row's, known to the compiler.
SLUICE_INLINE sluice_row_stop read_fields(sluice_row *row, int is_behind, const uint32_t spaced) {
    const sluice_field *const fields = row->fields;
    const uint64_t count = (uint64_t)row->field_count;
    const uint8_t *p = row->p;
    int64_t previous = row->previous;
    found_key key = {p, 0};
    sluice_row_stop stop = SLUICE_ROW_KEY;
    if (is_behind) goto behind;
    if (UNLIKELY(row->end - p < SLUICE_FIELD_BYTES || *p != '"')) goto out;
    if (spaced) key.bytes = sluice_name_bytes(p + 1);

    while (1) {
        const sluice_field *field;
        sluice_reader read;
        const uint8_t *value;
        // Rows leave fields out, so what comes after the next one is looked at, too.
        int64_t number = row->successors[previous];
        int32_t tries = row->keys_ahead;
        while (1) {
            if (UNLIKELY((uint64_t)number >= count)) goto look_up;
            if (UNLIKELY(--tries < 0)) goto look_up;
            field = fields + number;
            if (LIKELY(!sluice_key_differs(&field->key, key.p, spaced))) break;
            number = row->successors[number + 1];
        }
        if (UNLIKELY(row->keys_ahead < SLUICE_KEYS_AHEAD)) row->keys_ahead++;
        read = field->read;
        value = key.p + field->key.span;
        if (UNLIKELY(field->key.span > SLUICE_KEY_BYTES)) {
            if (!is_long_key(field, key.p, row->end)) goto at_key;
            goto colon;
        }
        if (spaced) goto colon;
        // It was compared with the key.
        if (UNLIKELY(*value <= 0x20)) goto at_key;
        goto value;

    look_up:
        if (!spaced) key.bytes = sluice_name_bytes(key.p + 1);
        const sluice_field_slot *const slot = find_slot(row, key.p + 1, key.bytes);
        field = slot->field;
        read = slot->read;
        if (UNLIKELY(field == NULL)) goto at_key;
        number = field - fields;
        // Where keys come in no order, guesses are not worth their while, and one that would have been right by chance says nothing.
        const int32_t missed = row->keys_ahead > -SLUICE_DISORDER ? row->keys_ahead - 1 : -SLUICE_DISORDER;
        row->keys_ahead = row->successors[previous] == number ? row->keys_ahead + 1 : missed;
        row->successors[previous] = (int32_t)number;
        value = key.p + key.bytes + 2;
        // Words tell names of up to 15 bytes.
        if (UNLIKELY(field->key.span > SLUICE_KEY_BYTES + 2)) {
            if (!is_long_key(field, key.p, row->end)) goto at_key;
            value = key.p + field->key.span;
        }

    colon:
        if (spaced) {
            const ptrdiff_t length = sluice_skip_mark(value - 1, ':');
            if (UNLIKELY(length == 0)) goto at_key;
            value += length - 1;
            row->blanks |= (uint64_t)length - 1;
        } else if (UNLIKELY(value[-1] != ':' || value[0] <= 0x20)) {
            goto at_key;
        }

    value:
        if (LIKELY(read != NULL)) {
            const int64_t known = *(const int64_t *)((const uint8_t *)row->nodes + field->count_offset);
            if (known < row->rows) row->pad(field, row->rows, row->parser);
            if (LIKELY(known <= row->rows)) {
                p = read(field, row->nodes, value, row->end, row->parser);
                if (LIKELY(p != NULL)) {
                    previous = number + 1;
                    goto behind;
                }
            }
        }
        p = value;
        row->field = number;
        stop = SLUICE_ROW_VALUE;
        break;

    behind:
        if (UNLIKELY(row->end - p < SLUICE_FIELD_BYTES)) {
            stop = *p == '}' ? SLUICE_ROW_END : SLUICE_ROW_MARK;
            break;
        }
        if (spaced) {
            key = key_behind_blanks(p);
            if (LIKELY(key.p != NULL)) {
                row->blanks |= (uint64_t)(key.p - p) - 1;
                continue;
            }
        } else if (LIKELY(p[0] == ',' && p[1] == '"')) {
            key.p = p + 1;
            continue;
        }
        stop = *p == '}' ? SLUICE_ROW_END : SLUICE_ROW_MARK;
        break;

    at_key:
        p = key.p;
        stop = SLUICE_ROW_KEY;
        break;
    }
out:
    row->p = p;
    row->previous = previous;
    return stop;
}

static HOT sluice_row_stop read_compact(sluice_row *row, int is_behind) { return read_fields(row, is_behind, 0); }

static HOT sluice_row_stop read_spaced(sluice_row *row, int is_behind) { return read_fields(row, is_behind, 1); }

sluice_row_stop sluice_read_fields(sluice_row *row, int is_behind) {
    return row->spaced ? read_spaced(row, is_behind) : read_compact(row, is_behind);
}
