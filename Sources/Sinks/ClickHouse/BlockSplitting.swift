import ClickHouseNative
import Pipeline

/// Ways to cut a block up.
enum BlockSplitting {
    /// Two halves: rows at fault are found in as many steps as the number of rows has binary digits.
    static func halves(_ rows: Int) -> [RowSelection] { [[0..<rows / 2], [rows / 2..<rows]] }

    /// Two pieces: the rows that are not named, and those that are.
    ///
    /// - Parameter numbers: ascending; neither none nor all of the rows.
    static func apart(_ numbers: [Int], of rows: Int) -> [RowSelection] {
        var named: RowSelection = []
        var others: RowSelection = []
        var next = 0
        for number in numbers {
            if next < number { others.append(next..<number) }
            if let last = named.last, last.upperBound == number {
                named[named.count - 1] = last.lowerBound..<number + 1
            } else {
                named.append(number..<number + 1)
            }
            next = number + 1
        }
        if next < rows { others.append(next..<rows) }
        return [others, named]
    }

    /// Pieces of at most so many partitions, or, where the server finds even that too many, of half as many.
    ///
    /// - Parameter partitions: the partition of each row, counted from 0 without gaps.
    /// - Returns: nil when there is one partition only.
    static func pieces(_ partitions: [Int], partitionsMax: Int) -> [RowSelection]? {
        let count = (partitions.max() ?? 0) + 1
        guard count > 1 else { return nil }
        let each = min(partitionsMax, (count + 1) / 2)
        var pieces = [RowSelection](repeating: [], count: (count + each - 1) / each)
        for (row, partition) in partitions.enumerated() {
            let piece = partition / each
            if let last = pieces[piece].last, last.upperBound == row {
                pieces[piece][pieces[piece].count - 1] = last.lowerBound..<row + 1
            } else {
                pieces[piece].append(row..<row + 1)
            }
        }
        return pieces
    }
}

/// How far one block, as it came, was cut up.
struct SplitProgress: Sendable {
    /// Halvings of a block with too many partitions whose key is not understood: at most 64 pieces.
    static let blindLevelsMax = 6

    private var refusedRows = 0
    /// Rows of the block as it came.
    private var rowsAtFirst: Int?

    /// Whether another row may still be looked for.
    func mayGoOn(_ cause: InsertVerdict.Cause, _ settings: ClickHouseSettings) -> Bool {
        cause != .rows || refusedRows < settings.splitRefusalsMax
    }

    mutating func mayHalveBlindly(_ block: EncodedBlock) -> Bool {
        let first = rowsAtFirst ?? block.rows
        rowsAtFirst = first
        return block.rows > first >> Self.blindLevelsMax
    }

    /// Somebody took rows that were refused.
    mutating func refused(_ refusal: BlockRefusal) {
        if refusal.reason == .rows { refusedRows += 1 }
    }

    /// What is said of a block that is refused now.
    func refusal(_ refusal: BlockRefusal, of block: EncodedBlock, _ attempts: Attempts) -> BlockRefusal {
        if attempts.isInDoubt {
            return BlockRefusal(
                .outcomeUnknown, code: refusal.code,
                message:
                    "an attempt before may have written a part of it. \(refusal.reason.rawValue): \(refusal.message)")
        }
        guard refusal.reason == .rows, block.rows > 1 else { return refusal }
        return BlockRefusal(
            .rows, code: refusal.code,
            message: "some of the rows, which were not looked for any further. \(refusal.message)")
    }
}

extension EncodedBlock {
    /// The rows, read back.
    ///
    /// - Throws: `TranscodeError` or `BlockError` when the body is not what `encoding` says.
    func decoded() throws -> Block {
        var raw = try BlockTranscoder.transcode(
            body, from: encoding, to: BlockEncoding(revision: encoding.revision, compression: nil))
        guard let block = try BlockReader.read(&raw, revision: encoding.revision), block.rows == rows else {
            throw BlockError(.malformed, "a block is not as long as it should be")
        }
        return block
    }

    /// Some of its rows, under an identity of their own.
    func piece(_ rows: Block, _ identity: BlockIdentity) throws -> EncodedBlock {
        let encoded = try BlockEncoder.encode([rows], as: encoding)
        return EncodedBlock(
            identity: identity, table: table, layout: layout, rows: rows.rows, rawBytes: encoded.rawBytes,
            encoding: encoding, bytes: encoded.bytes, firstReceived: firstReceived)
    }

    /// The same rows under another identity.
    func with(_ identity: BlockIdentity) -> EncodedBlock {
        EncodedBlock(
            identity: identity, table: table, layout: layout, rows: rows, rawBytes: rawBytes, encoding: encoding,
            bytes: bytes, firstReceived: firstReceived, mayHaveBeenSent: mayHaveBeenSent)
    }
}
