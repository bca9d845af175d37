import MartletBase

/// Names of nodes, zones, data centres, keyspaces and versions, wherever they come from.
///
/// They go into one-line errors, `name=value` logs and comma-separated lists as they are, so they are 1 to
/// `Limits.nameBytesMax` bytes of printable ASCII without spaces, quotes, backslashes, `,` and `=`. A peer
/// can't smuggle a line break into a reply by its name.
package enum Names {
    package static func isValid(_ text: String) -> Bool {
        (1...Limits.nameBytesMax).contains(text.utf8.count) && text.utf8.allSatisfy(isAllowed)
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"), UInt8(ascii: ","), UInt8(ascii: "="):
            false
        default: (0x21...0x7E).contains(byte)
        }
    }

    static func read(_ what: StaticName, from reader: inout ByteReader) throws(WireError) -> String {
        let text = try reader.string(max: Limits.nameBytesMax, what)
        guard isValid(text) else { throw .invalid(what) }
        return text
    }
}
