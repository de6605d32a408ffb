import NIOCore
import Synchronization

@testable import Pipeline

/// A disk in memory that fails when it is told to, and forgets in a power loss what was not synced: sector by sector, in no order.
final class SimulatedDisk: SpoolDisk {
    static let crashed: Int32 = -1
    private static let sector = 512

    struct Faults: Sendable {
        /// Chances in 1,000, for each call.
        var write = 0
        var sync = 0
        var create = 0
        var read = 0
        var truncate = 0
        /// The machine stops in the middle of this many calls from now; nil: it does not.
        var callsUntilCrash: Int?
    }

    fileprivate struct Contents: Sendable {
        var bytes: [UInt8] = []
        /// As of the last sync.
        var synced: [UInt8] = []
        /// So many bytes have their place.
        var reserved = 0

        var room: Int { max(bytes.count, reserved) }
    }

    fileprivate struct State: Sendable {
        var files: [String: Contents] = [:]
        var faults = Faults()
        var hasCrashed = false
        var random: UInt64
        var free: Int?
        var capacity: Int?
        var whileSyncing: @Sendable () -> Void = {}

        mutating func next(below bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((random >> 33) % UInt64(bound))
        }

        /// What may still be written; nil: as much as anybody likes.
        var room: Int? { capacity.map { max(0, $0 - files.values.reduce(0) { $0 + $1.room }) } }

        /// Whether the call goes on; it may do part of its work otherwise.
        mutating func begins(_ call: SpoolDiskError.Call, _ name: String, chance: Int) -> SpoolDiskError? {
            if hasCrashed { return SpoolDiskError(call, name, SimulatedDisk.crashed) }
            if let left = faults.callsUntilCrash {
                faults.callsUntilCrash = left - 1
                if left <= 0 {
                    hasCrashed = true
                    return SpoolDiskError(call, name, SimulatedDisk.crashed)
                }
            }
            return chance > 0 && next(below: 1000) < chance ? SpoolDiskError(call, name, 5) : nil
        }
    }

    fileprivate let state: Mutex<State>

    init(seed: UInt64) { state = Mutex(State(random: seed)) }

    /// What others do while a call of `sync` takes its time.
    func whileSyncing(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.whileSyncing = body } }

    var hasCrashed: Bool { state.withLock { $0.hasCrashed } }

    func set(_ faults: Faults) { state.withLock { $0.faults = faults } }
    /// All files together.
    func setCapacity(_ bytes: Int?) { state.withLock { $0.capacity = bytes } }
    func setFree(_ bytes: Int?) { state.withLock { $0.free = bytes } }

    /// The machine comes up again.
    ///
    /// - Parameter powerLoss: what was not synced may be gone; otherwise only the process died.
    func restart(powerLoss: Bool) {
        state.withLock { state in
            state.hasCrashed = false
            state.faults = Faults()
            guard powerLoss else { return }
            for name in state.files.keys.sorted() {
                guard var file = state.files[name], file.bytes != file.synced else { continue }
                // Any length between the two, and of each sector either version.
                let low = min(file.bytes.count, file.synced.count)
                let high = max(file.bytes.count, file.synced.count)
                let length = low + state.next(below: high - low + 1)
                var after: [UInt8] = []
                for start in stride(from: 0, to: length, by: Self.sector) {
                    let end = min(start + Self.sector, length)
                    let source = state.next(below: 2) == 0 ? file.bytes : file.synced
                    for place in start..<end { after.append(place < source.count ? source[place] : 0) }
                }
                file.bytes = after
                file.synced = after
                state.files[name] = file
            }
        }
    }

    /// What bad disks do.
    func flipBit(in name: String, at place: Int) {
        state.withLock { state in
            guard var file = state.files[name] else { return }
            file.bytes[place] ^= 1 << UInt8(place % 8)
            file.synced = file.bytes
            state.files[name] = file
        }
    }

    func length(of name: String) -> Int { state.withLock { $0.files[name]?.bytes.count ?? 0 } }
    /// For people: how much of it each file has.
    var usage: String {
        state.withLock { state in
            let files = state.files.sorted { $0.key < $1.key }.map {
                "\($0.key.suffix(7)): \($0.value.bytes.count)/\($0.value.room)"
            }
            return files.joined(separator: ", ") + ", room: \(state.room.map { "\($0)" } ?? "any")"
        }
    }
    func drop(_ name: String) { state.withLock { $0.files[name] = nil } }

    func names() throws(SpoolDiskError) -> [String] {
        let (names, failure) = state.withLock { state in
            (state.files.keys.sorted(), state.begins(.list, "", chance: 0))
        }
        if let failure { throw failure }
        return names
    }

    func create(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
        let failure = state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.create, name, chance: state.faults.create) {
                // Its name may have got there.
                if state.next(below: 2) == 0, state.files[name] == nil { state.files[name] = Contents() }
                return failure
            }
            if state.files[name] != nil { return SpoolDiskError(.create, name, 17) }
            state.files[name] = Contents()
            return nil
        }
        if let failure { throw failure }
        return SimulatedFile(disk: self, name: name)
    }

    func open(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
        let failure = state.withLock { state in
            state.begins(.open, name, chance: 0) ?? (state.files[name] == nil ? SpoolDiskError(.open, name, 2) : nil)
        }
        if let failure { throw failure }
        return SimulatedFile(disk: self, name: name)
    }

    func reserve(_ name: String, bytes: Int) throws(SpoolDiskError) {
        let failure = state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.reserve, name, chance: 0) { return failure }
            var file = state.files[name] ?? Contents()
            let more = max(0, bytes - file.room)
            guard more <= state.room ?? more else { return SpoolDiskError(.reserve, name, 28) }
            file.reserved = max(file.reserved, bytes)
            state.files[name] = file
            return nil
        }
        if let failure { throw failure }
    }

    func remove(_ name: String) throws(SpoolDiskError) {
        let failure = state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.remove, name, chance: 0) { return failure }
            state.files[name] = nil
            return nil
        }
        if let failure { throw failure }
    }

    func rename(_ name: String, to: String) throws(SpoolDiskError) {
        let failure = state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.rename, name, chance: 0) { return failure }
            state.files[to] = state.files.removeValue(forKey: name)
            return nil
        }
        if let failure { throw failure }
    }

    func freeBytes() -> Int? { state.withLock { $0.free ?? $0.room } }
}

private final class SimulatedFile: SpoolFile {
    let disk: SimulatedDisk
    let name: String

    init(disk: SimulatedDisk, name: String) {
        self.disk = disk
        self.name = name
    }

    func length() throws(SpoolDiskError) -> Int { disk.length(of: name) }

    func write(_ bytes: ByteBuffer, at offset: Int) throws(SpoolDiskError) {
        let failure = disk.state.withLock { state -> SpoolDiskError? in
            var failure = state.begins(.write, name, chance: state.faults.write)
            guard var file = state.files[name] else { return failure ?? SpoolDiskError(.write, name, 2) }
            let more = max(0, offset + bytes.readableBytes - file.room)
            if failure == nil, more > state.room ?? more { failure = SpoolDiskError(.write, name, 28) }
            // A write that fails, or dies, has written any part of it.
            var count = failure == nil ? bytes.readableBytes : state.next(below: bytes.readableBytes + 1)
            if let room = state.room { count = min(count, max(0, file.room + room - offset)) }
            let end = offset + count
            if file.bytes.count < end { file.bytes += [UInt8](repeating: 0, count: end - file.bytes.count) }
            for (place, byte) in bytes.readableBytesView.prefix(count).enumerated() {
                file.bytes[offset + place] = byte
            }
            state.files[name] = file
            return failure
        }
        if let failure { throw failure }
    }

    func read(at offset: Int, count: Int, into buffer: inout ByteBuffer) throws(SpoolDiskError) {
        let (bytes, failure) = disk.state.withLock { state -> (ByteBuffer, SpoolDiskError?) in
            if let failure = state.begins(.read, name, chance: state.faults.read) { return (ByteBuffer(), failure) }
            guard let file = state.files[name] else { return (ByteBuffer(), SpoolDiskError(.read, name, 2)) }
            let end = min(file.bytes.count, offset + count)
            return (offset < end ? ByteBuffer(bytes: file.bytes[offset..<end]) : ByteBuffer(), nil)
        }
        if let failure { throw failure }
        buffer.writeImmutableBuffer(bytes)
    }

    func sync() throws(SpoolDiskError) {
        disk.state.withLock(\.whileSyncing)()
        let failure = disk.state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.sync, name, chance: state.faults.sync) { return failure }
            guard var file = state.files[name] else { return nil }
            file.synced = file.bytes
            state.files[name] = file
            return nil
        }
        if let failure { throw failure }
    }

    func truncate(to length: Int) throws(SpoolDiskError) {
        let failure = disk.state.withLock { state -> SpoolDiskError? in
            if let failure = state.begins(.truncate, name, chance: state.faults.truncate) { return failure }
            guard var file = state.files[name] else { return nil }
            file.reserved = 0
            if file.bytes.count > length {
                file.bytes.removeLast(file.bytes.count - length)
            } else {
                file.bytes += [UInt8](repeating: 0, count: length - file.bytes.count)
            }
            state.files[name] = file
            return nil
        }
        if let failure { throw failure }
    }
}
