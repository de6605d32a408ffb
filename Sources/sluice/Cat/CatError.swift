/// What is wrong with a file of blocks, and where.
struct CatError: Error, Sendable, CustomStringConvertible {
    /// Of a reason, which may quote what should have been a name.
    static let reasonCharactersMax = 200

    /// Bytes from the file's start; nil where the problem is not one of its bytes.
    let offset: Int?
    let reason: String

    init(offset: Int?, reason: String) {
        self.offset = offset
        self.reason = reason.count > Self.reasonCharactersMax ? reason.prefix(Self.reasonCharactersMax) + "…" : reason
    }

    var description: String { offset.map { "at byte \($0): \(reason)" } ?? reason }
}
