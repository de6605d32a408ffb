import NIOCore
import Pipeline
import ProducerProtocol
import Testing

@testable import Ingest

/// What is kept of rejected rows of other formats.
@Suite struct FormatDeadLetterTests {
    private static func rejection(_ form: SessionFormat, _ row: [UInt8]) -> Rejection {
        Rejection(
            table: TableName(table: "t"), column: "a", reason: .typeMismatch, message: "no", session: 1,
            bytes: ByteBuffer(bytes: row), number: 7, form: form)
    }

    private static func line(_ rejection: Rejection) -> String {
        var line = ByteBuffer()
        RejectionEncoder(rowBytesMax: 100).encode(rejection, time: "now", into: &line)
        return String(buffer: line)
    }

    @Test func aRowHasWhatItTakesToReadItAgain() {
        let text = Self.rejection(
            SessionFormat(.csvWithNames, columns: ["a", "b\"c"], delimiter: UInt8(ascii: ";")), Array("1;x".utf8))
        #expect(
            Self.line(text).hasSuffix(
                #""number":7,"format":"CSV","columns":["a","b\"c"],"delimiter":";","row":"1;x"}"# + "\n"))
        let binary = Self.rejection(
            SessionFormat(.rowBinaryWithNamesAndTypes, columns: ["a"], types: ["Array(UInt8)"]), [1, 0xFF])
        #expect(
            Self.line(binary).hasSuffix(
                #""format":"RowBinary","columns":["a"],"types":["Array(UInt8)"],"row_base64":"Af8="}"# + "\n"))
    }

    @Test func nothingIsKeptOfRowsWhoseTableRedacts() {
        var settings = ValidateSettings()
        var rules = TableRules()
        var secret = FieldRules()
        secret.redaction.method = .drop
        rules.fields["secret"] = secret
        settings.rules["t"] = rules
        let redactor = RowRedactor()
        redactor.reconfigure(settings)
        // Even where it looks like JSON.
        for row in ["1,hush", #"{"other":"hush"}"#, #"{"secret":1},hush"#] {
            let kept = redactor.redacted(Self.rejection(SessionFormat(.csv), Array(row.utf8)))
            #expect(kept.isRedacted)
            #expect(!Self.line(kept).contains("hush"))
        }
    }
}
