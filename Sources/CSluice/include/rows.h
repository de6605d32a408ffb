// The fields of a row, one after the other: what is done for each of them whatever its type.
#ifndef CSLUICE_ROWS_H
#define CSLUICE_ROWS_H

#include "keys.h"

typedef struct sluice_field sluice_field;

/// Reads and appends a value of some column.
///
/// @param nodes the memory of all columns.
/// @param p where the value begins; SLUICE_VALUE_BYTES may be read, and more up to `end`.
/// @param parser whatever `sluice_row` has.
/// @return where the value ends; NULL: it takes a closer look, and nothing was appended.
typedef const uint8_t *(*sluice_reader)(
    const sluice_field *field, void *nodes, const uint8_t *p, const uint8_t *end, void *parser);

/// How a column's values are read: one line of the cache.
struct sluice_field {
    sluice_key key;
    /// The name, of as many bytes as the key's span less 3.
    const uint8_t *name;
    /// NULL: each value takes a closer look.
    sluice_reader read;
    /// From the first node on in bytes, to how many values the column has, and to where they go.
    ptrdiff_t count_offset, value_offset;
    /// What only readers know of.
    void *operation;
};

/// A name as in `sluice_key_slot`, and the field of that name.
typedef struct {
    uint64_t low, high;
    /// NULL: it is no business of a quick look.
    const sluice_field *field;
    /// The field's.
    sluice_reader read;
} sluice_field_slot;

/// The slots of all names, in the places of those of `names`. 1: some name's is not the first one looked at, else 0.
int sluice_fill_slots(sluice_field_slot *slots, sluice_key_table names, const sluice_field *fields, int64_t field_count);

/// A row that is being read.
typedef struct {
    /// By number.
    const sluice_field *fields;
    int64_t field_count;
    /// Which field has which name; the factors and the shift are those of the table that they were made of.
    const sluice_field_slot *slots;
    uint64_t low_factor, high_factor;
    uint32_t shift;
    /// What `sluice_fill_slots` says.
    int32_t probes;
    /// Which field came after which in the rows before, numbered from 1, 0 for a row's beginning: the next is looked for there first.
    /// Below zero, and from `field_count` on: no field.
    int32_t *successors;
    void *nodes;
    /// Brings a column up to so many values.
    void (*pad)(const sluice_field *field, int64_t rows, void *parser);
    void *parser;
    /// How many keys are guessed now, at most `SLUICE_KEYS_AHEAD`: fewer the less often that was right.
    int32_t keys_ahead;
    /// 1: blank space between the tokens is to be expected, else 0.
    uint32_t spaced;

    // Of this row:

    /// Where reading is; behind it all bytes up to `end` may be read.
    const uint8_t *p, *end;
    /// The number of the last field, from 1 on.
    int64_t previous;
    /// The field whose value is at p, where that takes a closer look.
    int64_t field;
    /// Values that each column has before this row.
    int64_t rows;
    /// Not 0 once there was blank space in this row.
    uint64_t blanks;

    // For rows that are sorted:

    /// Reads a value of the column with this number that takes a closer look. Returns where it ends; NULL: it is faulty.
    const uint8_t *(*look)(int64_t number, int64_t rows, const uint8_t *p, const uint8_t *end, void *parser);
    /// Rows from now on that are not sorted, how many were since the last one that was not, and how many in a row could not be.
    int32_t unsorted, sorted, failed;
} sluice_row;

#define SLUICE_KEYS_AHEAD 4

/// Keys in no order are guessed again only when so many more of them came in the order of the rows before than did not.
#define SLUICE_DISORDER 8

/// What a reader may read of a value, texts aside.
#define SLUICE_VALUE_BYTES 48

/// What is read from behind a value on, before sizes were looked at: 15 bytes of blank space and a comma, 18 of a short key, 15 of blank
/// space and its colon, the value.
#define SLUICE_FIELD_BYTES 96

typedef enum {
    /// The row's closing brace is at p.
    SLUICE_ROW_END,
    /// A field's key should be at p, and takes a closer look.
    SLUICE_ROW_KEY,
    /// The value of `field` is at p.
    SLUICE_ROW_VALUE,
    /// A comma or the closing brace should be at p, or blank space before it.
    SLUICE_ROW_MARK,
} sluice_row_stop;

/// Reads fields in the shape that they mostly have, and stops where they end or one has another shape. `p` is at a key's opening quote,
/// or at what stands in its place; where `is_behind` is not 0, behind a value. No name of `fields` has what JSON escapes.
sluice_row_stop sluice_read_fields(sluice_row *row, int is_behind);

/// 1: rows whose keys come in no order are sorted. Without instructions for 16 bytes at once that takes longer than it saves.
#if defined(SLUICE_SSE2)
#define SLUICE_SORTS_ROWS 1
#else
#define SLUICE_SORTS_ROWS 0
#endif

/// Whether `sluice_read_sorted` should be tried for the next row: keys come in no order, and it did not fail lately.
SLUICE_INLINE int sluice_row_is_to_be_sorted(sluice_row *row) {
    if (!SLUICE_SORTS_ROWS || __builtin_expect(row->keys_ahead > -SLUICE_DISORDER / 2, 1)) return 0;
    if (row->unsorted == 0) return 1;
    row->unsorted--;
    return 0;
}

typedef enum {
    /// The row is read, and p where its line ends.
    SLUICE_SORTED,
    /// It is of another shape, or faulty, and p where it was. Columns have some of its values, which are to be taken back before it is
    /// read in its own order.
    SLUICE_NOT_SORTED,
} sluice_sorting;

/// Reads a row whose keys come in no order: all keys first, then the values in the order of the columns, in which the processor can
/// guess what comes next. `p` is at the first key's opening quote.
sluice_sorting sluice_read_sorted(sluice_row *row);

#endif
