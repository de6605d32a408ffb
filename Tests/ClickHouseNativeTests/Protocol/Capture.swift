import Foundation
import NIOCore
import Testing

@testable import ClickHouseNative

/// A server whose words were recorded; see `Golden/protocol/README.md`.
enum CapturedServer: String, CaseIterable, CustomTestStringConvertible {
    case legacy, modern

    /// What the client announced.
    var revision: Revision { self == .legacy ? Revision(54412) : Revision(54491) }
    var testDescription: String { rawValue }

    /// What the server sent after each step of a dialogue, its hello first.
    func steps(_ dialogue: String) throws -> [ByteBuffer] {
        let file = Bundle.module.resourceURL!.appending(path: "Golden/protocol/\(rawValue)/\(dialogue).hex")
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
            .dropLast().map { ByteBuffer(hex: $0) }
    }

    func context(isCompressed: Bool = false) -> ServerPacket.Context {
        ServerPacket.Context(revision: revision, isCompressed: isCompressed)
    }
}

extension ByteBuffer {
    init(hex: some StringProtocol) {
        self.init()
        var digits = hex.utf8.filter { $0 != UInt8(ascii: " ") }[...]
        while let high = digits.popFirst(), let low = digits.popFirst() {
            writeInteger(UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)!)
        }
    }

    var hex: String {
        readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension ServerPacket {
    /// All packets of a buffer that holds nothing else, as words: kind, and what matters of it.
    static func summaries(_ buffer: ByteBuffer, _ context: Context) throws -> [String] {
        var buffer = buffer
        var all: [String] = []
        while buffer.readableBytes > 0, let packet = try read(&buffer, context: context) { all.append(packet.summary) }
        if buffer.readableBytes > 0 { all.append("\(buffer.readableBytes) bytes left") }
        return all
    }

    var summary: String {
        switch self {
        case .data(let block), .totals(let block), .extremes(let block):
            "\(kind) \(block.layout.columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")): \(block.rows)"
        case .exception(let exception): "exception \(exception.code.rawValue)"
        case .profileInfo(let info): "profileInfo \(info.rows) rows"
        default: kind
        }
    }

    /// Without what tells only how the work goes on, which differs from run to run.
    static func essentials(_ buffer: ByteBuffer, _ context: Context) throws -> [String] {
        try summaries(buffer, context).filter { !["progress", "profileEvents"].contains($0) }
    }
}

extension ConnectionStateMachine {
    /// What the machine wants for bytes that came, one after another, `wait` left out.
    mutating func actions(on bytes: ByteBuffer) -> [ConnectionAction] {
        var buffer = bytes
        var all: [ConnectionAction] = []
        while let action = bytesReceived(&buffer) {
            if case .wait = action { continue }
            all.append(action)
        }
        return all
    }
}

extension ConnectionAction {
    /// For transcripts: the case and what matters of it, without bytes.
    var line: String {
        switch self {
        case .wait: "wait"
        case .send: "send"
        case .sendBlock: "sendBlock"
        case .succeedConnect(let hello, let addendum):
            "succeedConnect \(hello.revision)\(addendum == nil ? "" : " addendum")"
        case .failConnect(let error): "failConnect \(error.words)"
        case .succeedQuery(let result): "succeedQuery \(result.rows) rows"
        case .failQuery(let error, let close): "failQuery \(error.words)\(close ? " close" : "")"
        case .askForBlocks(let header): "askForBlocks \(header.block.layout.columns.map(\.name).joined(separator: ","))"
        case .succeedInsert(let summary): "succeedInsert \(summary.blocks) blocks"
        case .failInsert(let failure, let close):
            "failInsert \(failure.outcome.rawValue): \(failure.error.words)\(close ? " close" : "")"
        case .succeedPing: "succeedPing"
        case .failPing(let error): "failPing \(error.words)"
        case .close(let error): "close\(error.map { " \($0.words)" } ?? "")"
        case .refuseRequest(let error): "refuseRequest \(error.words)"
        }
    }
}

extension ConnectionError {
    var words: String {
        if let exception { return "\(code.rawValue) \(exception.code.rawValue)" }
        if let cause = cause as? ProtocolError { return "\(code.rawValue) \(cause.code.rawValue)" }
        return code.rawValue
    }
}
