// Unsafe by design: hands LineCursor the bytes of a row inside withUnsafeReadableBytes, with a newline as their last byte.

import ClickHouseNative
import NIOConcurrencyHelpers
import NIOCore
import Pipeline

/// Takes out of rejected rows what their table does not keep: values of redacted columns become null, and what cannot be read is
/// cut off.
final class RowRedactor: Sendable {
    private struct Names {
        /// By the tables' names, of columns and their aliases, in small letters.
        var ofTables: [String: Set<[UInt8]>] = [:]
        var all: Set<[UInt8]> = []
        /// Tables whose rows may be another's.
        var routed: Set<String> = []
        var depthMax = 64
    }

    private let names = NIOLockedValueBox(Names())

    func reconfigure(_ settings: ValidateSettings) {
        var names = Names()
        names.depthMax = settings.depthMax
        for (table, rules) in settings.rules {
            if rules.route.field != nil { names.routed.insert(table) }
            var own: Set<[UInt8]> = []
            for (column, field) in rules.fields where field.redaction.method != nil {
                for name in [column] + field.aliases { own.insert(Self.lowered(name.utf8)) }
                // A Nested's fields may come as one object.
                if let point = column.firstIndex(of: ".") { own.insert(Self.lowered(column[..<point].utf8)) }
            }
            names.ofTables[table] = own
            names.all.formUnion(own)
        }
        self.names.withLockedValue { $0 = names }
    }

    private static func lowered(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    }

    private struct Hidden {
        /// Of the table that the row is for, as far as that is known.
        var own: Set<[UInt8]> = []
        var all: Set<[UInt8]> = []
        var depthMax = 0
    }

    /// The fields of a row that are not kept.
    private func hidden(_ rejection: Rejection) -> Hidden {
        names.withLockedValue { names in
            var hidden = Hidden(own: names.all, all: names.all, depthMax: names.depthMax)
            guard let table = rejection.table, !rejection.reason.isAboutTable else { return hidden }
            let known = [table.description, table.table].first { names.ofTables[$0] != nil }
            guard let known else {
                hidden.own = []
                return hidden
            }
            if !names.routed.contains(known) { hidden.own = names.ofTables[known] ?? [] }
            return hidden
        }
    }

    /// The rejection as it may be kept.
    func redacted(_ rejection: Rejection) -> Rejection {
        let hidden = hidden(rejection)
        guard !hidden.all.isEmpty else { return rejection }
        // Where the values are is known of JSON only.
        guard rejection.form == nil else { return hidden.own.isEmpty ? rejection : withoutBytes(rejection) }
        var line = rejection.bytes
        line.writeInteger(UInt8(0x0A))
        var result = rejection
        var kept = ByteBuffer()
        func copy(hiding names: Set<[UInt8]>) -> Int {
            kept.clear()
            return line.withUnsafeReadableBytes { raw in
                Self.copy(raw, hiding: names, depthMax: hidden.depthMax, into: &kept, &result.isRedacted)
            }
        }
        var end = copy(hiding: hidden.own)
        // What cannot be read may have named another table where it cannot be read.
        let isWhole = end == rejection.bytes.readableBytes && rejection.length == end
        if !isWhole, hidden.own != hidden.all { end = copy(hiding: hidden.all) }
        // All that is behind was read, or is not kept.
        if end < rejection.bytes.readableBytes { result.isRedacted = true }
        guard result.isRedacted else { return rejection }
        // Only what was cut off is missing from the row.
        let missing = rejection.bytes.readableBytes - end + (rejection.length - rejection.bytes.readableBytes)
        result.bytes = kept
        result.length = kept.readableBytes + missing
        return result
    }

    private func withoutBytes(_ rejection: Rejection) -> Rejection {
        var result = rejection
        result.bytes = ByteBuffer()
        result.isRedacted = true
        return result
    }

    /// Copies a row's whole fields; returns where in the row the last one ends.
    private static func copy(
        _ line: UnsafeRawBufferPointer, hiding hidden: Set<[UInt8]>, depthMax: Int, into kept: inout ByteBuffer,
        _ isRedacted: inout Bool
    ) -> Int {
        guard let base = line.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return 0 }
        var cursor = LineCursor(base, end: base + line.count)
        var scratch = ByteRun()
        defer { scratch.deallocate() }
        cursor.skipSpace()
        // Up to here all is copied.
        var copied = base
        func copy(to end: Bytes) {
            kept.writeBytes(UnsafeRawBufferPointer(start: copied, count: end - copied))
            copied = end
        }
        var changed = false
        var isCut = false
        var safe = base
        let isWhole: Bool
        do throws(ParseFault) {
            try cursor.forEachField(scratch: &scratch, depthMax: depthMax) { name, value in
                var behind = value
                guard (try? behind.skipValue(depthMax: depthMax)) != nil else {
                    isCut = true
                    return false
                }
                if hidden.contains(lowered(name)) {
                    copy(to: value.p)
                    kept.writeStaticString("null")
                    copied = behind.p
                    changed = true
                }
                safe = behind.p
                return true
            }
            cursor.skipSpace()
            isWhole = !isCut && cursor.p.pointee == 0x0A && cursor.p == base + line.count - 1
        } catch {
            isWhole = false
        }
        isRedacted = isRedacted || changed
        let end = isWhole ? base + line.count - 1 : max(safe, copied)
        copy(to: end)
        return end - base
    }
}
