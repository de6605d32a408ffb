import ClickHouseNative
import Foundation
import Pipeline

/// Where the blocks of a table go: `<directory>/<table>/<table>-<UTC time>-<number>.native[.lz4|.zst]`.
///
/// While a file is written its name begins with a dot and ends with `.tmp`, so that no pattern of names finds it.
struct NativeFileName: Hashable, Sendable {
    let directory: String
    let name: String

    var path: String { directory + "/" + name }
    var temporaryPath: String { directory + "/." + name + Self.temporarySuffix }
    /// For a file in which nothing whole was found.
    var tornPath: String { directory + "/." + name + ".torn" }

    static let temporarySuffix = ".tmp"
    /// Of a file's part that stands for the table; a file name may have 255 bytes.
    static let tableBytesMax = 150

    init(
        in root: String, table: TableName, time: Date, number: UInt64, compression: FileSinkSettings.Compression
    ) {
        let table = Self.escaped(table)
        directory = root + "/" + table
        name = "\(table)-\(Self.text(time))-\(number).native\(compression.suffix)"
    }

    /// Of a file that a run before left under its temporary name; nil for any other.
    init?(temporary name: String, in directory: String) {
        guard name.hasPrefix("."), name.hasSuffix(Self.temporarySuffix), name.contains(".native") else { return nil }
        self.directory = directory
        self.name = String(name.dropFirst().dropLast(Self.temporarySuffix.count))
    }

    var compression: FileSinkSettings.Compression {
        FileSinkSettings.Compression.allCases.first { !$0.suffix.isEmpty && name.hasSuffix($0.suffix) } ?? .none
    }

    /// Letters, digits, `_` and `-` stay, everything else becomes `%` and two digits: no table can name a place outside
    /// of the directory. Long names are cut, and end with a hash of the whole.
    static func escaped(_ table: TableName) -> String {
        let parts = [table.database, table.table].compactMap { $0.map(escaped) }
        let whole = parts.joined(separator: ".")
        guard whole.utf8.count > tableBytesMax else { return whole }
        let hash = table.description.utf8.withContiguousStorageIfAvailable {
            CityHash128(hashing: UnsafeRawBufferPointer($0)).low
        }
        return whole.prefix(tableBytesMax - 17) + "~" + String(hash ?? 0, radix: 16)
    }

    private static func escaped(_ part: String) -> String {
        part.utf8.reduce(into: "") { text, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
    }

    /// `20260131T235959Z`, so that names sort by time.
    private static func text(_ time: Date) -> String {
        var seconds = time_t(time.timeIntervalSince1970)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1900)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour))\(two(parts.tm_min))\(two(parts.tm_sec))Z"
    }
}
