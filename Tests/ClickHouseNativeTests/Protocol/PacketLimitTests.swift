import NIOCore
import Testing

@testable import ClickHouseNative

@Suite("What a server cannot make us do")
struct PacketLimitTests {
    private func error(_ hex: String, _ limits: ProtocolLimits = ProtocolLimits()) -> ProtocolError.Code? {
        var buffer = ByteBuffer(hex: hex)
        do {
            _ = try ServerPacket.read(&buffer, context: .init(revision: .newest, limits: limits))
            return nil
        } catch {
            return error.code
        }
    }

    @Test("A text that claims to be longer than allowed is refused before it comes")
    func longText() {
        #expect(error("00 ffffffff0f") == .limit)
        #expect(error("11 8120") == .limit)
        #expect(error("02 3c000000 ffffffffffffffffff01") == .limit)
    }

    @Test("A number of more than 64 bits is refused")
    func longNumber() {
        #expect(error("ffffffffffffffffffff01") == .malformed)
        #expect(error("ffffffffffffffffff02") == .malformed)
    }

    @Test("Exceptions within exceptions end somewhere")
    func nestedExceptions() throws {
        let one = "01000000 0145 016d 0173"
        var buffer = ByteBuffer(hex: "02" + Array(repeating: one, count: 3).joined(separator: "01") + "00")
        guard case .exception(let exception)? = try ServerPacket.read(&buffer, context: .init(revision: .newest)) else {
            Issue.record("no exception")
            return
        }
        #expect(exception.nested.count == 2)
        #expect(error("02" + String(repeating: one + "01", count: 17)) == .limit)
    }

    @Test("Packets for servers of a cluster are refused by number, unknown ones too")
    func strangers() {
        for number in ["09", "0c", "0d", "0f", "10", "12"] { #expect(error(number) == .packetNotSpoken) }
        #expect(error("13") == .unknownPacket)
        #expect(error("48545450") == .unknownPacket)
    }

    @Test("A server older than the oldest revision is refused")
    func oldServer() {
        #expect(error("00 0a436c69636b486f757365 01 01 ffa803") == .revisionTooOld)
    }

    @Test("A packet that never ends is refused at its limit")
    func endlessPacket() {
        var limits = ProtocolLimits()
        limits.packetBytesMax = 8
        #expect(error("02 3c000000 8001 61", limits) == nil)
        #expect(error("02 3c000000 8001 6161", limits) == .limit)
    }
}
