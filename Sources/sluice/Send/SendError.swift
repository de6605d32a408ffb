import Foundation

/// Why not all could be sent; one line, for the person at the terminal.
struct SendError: Error, Sendable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

enum SystemError {
    /// What errno says, in lower case, as it stands within a sentence.
    static var text: String {
        let text = String(cString: strerror(errno))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
