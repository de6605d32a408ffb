import Foundation
import Logging
import Pipeline
import Synchronization
import Testing

@testable import sluice

@Suite struct LogLineTests {
    /// 2026-11-23T13:00:00.125Z.
    private static let time = Date(timeIntervalSince1970: 1_795_438_800.125)

    private func line(_ message: String, _ metadata: Logger.Metadata, _ format: LogSettings.Format) -> String {
        LogLine(time: Self.time, level: .info, message: message, metadata: metadata).formatted(as: format)
    }

    @Test func aLineOfTextReadsFromTimeToFigures() {
        let text = line("listening", ["stage": "receive", "socket": "/run/x y", "rows": "5"], .text)

        #expect(text == "2026-11-23T13:00:00.125Z info receive: listening rows=5 socket=\"/run/x y\"\n")
    }

    @Test func aLineOfJSONHasTheSameInKeys() throws {
        let text = line("listening", ["stage": "receive", "rows": "5", "level": "own"], .json)

        #expect(
            text == #"{"time":"2026-11-23T13:00:00.125Z","level":"info","stage":"receive","message":"listening","#
                + #""level_":"own","rows":"5"}"# + "\n")
    }

    @Test(arguments: LogSettings.Format.allCases)
    func whateverAValueHoldsItStaysOneLineThatNoTerminalObeys(format: LogSettings.Format) throws {
        let hostile = "a\nb\r\u{1B}[31mred\u{202E}\u{2028}\u{85}\"\\="
        let text = line(hostile, ["key\n": .string(hostile)], format)

        #expect(text.unicodeScalars.filter { $0 == "\n" }.count == 1)
        let controls = text.unicodeScalars.dropLast().filter {
            [.control, .format, .lineSeparator].contains($0.properties.generalCategory)
        }
        #expect(controls.isEmpty)
        if format == .json {
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String]
            #expect(object?["message"] == hostile)
        }
    }

    @Test func aLongValueIsCutOff() {
        let text = line("m", ["value": .string(String(repeating: "é", count: 10_000))], .text)

        #expect(text.utf8.count < LogLine.valueBytesMax + 100)
    }

    @Test func theLevelOfTheSettingsCounts() {
        let lines = Mutex<[String]>([])
        var settings = LogSettings()
        settings.level = .warning
        let logger = StandardErrorLogs(settings, write: { line in lines.withLock { $0.append(line) } }).logger()

        logger.of(stage: "ship").info("not this")
        logger.of(stage: "ship").error("but this", metadata: ["code": "252"])

        let written = lines.withLock { $0 }
        #expect(written.count == 1)
        #expect(written.first?.hasSuffix(" error ship: but this code=252\n") == true)
    }

    /// The endpoints' server is told to be quiet; a reload speaks to all.
    @Test func aLoggerThatIsMadeQuieterLeavesTheOthersAsTheyAre() {
        let lines = Mutex<[String]>([])
        let logs = StandardErrorLogs(LogSettings(), write: { line in lines.withLock { $0.append(line) } })
        let ship = logs.logger().of(stage: "ship")
        var server = logs.logger().of(stage: "admin")
        server.logLevel = .warning

        server.notice("not this")
        ship.info("but this")
        logs.setLevelOfAll(.error)
        ship.warning("no more")
        logs.setLevelOfAll(.debug)
        server.info("still not")
        ship.debug("and this")

        let written = lines.withLock { $0.map { $0.split(separator: ": ").last.map(String.init) } }
        #expect(written == ["but this\n", "and this\n"])
    }
}
