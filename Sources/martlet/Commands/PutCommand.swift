import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let put = Command(
        CommandSpecification(
            "put", "Writes a key.",
            arguments: [
                ValueOptions.keyArgument,
                ArgumentSpecification("VALUE", "the value; - reads it from stdin, as it is", .optional),
            ],
            options: [
                OptionSpecification("--file", value: "FILE", "The value is what this file holds, as it is."),
                ValueOptions.level, ValueOptions.timeout,
                OptionSpecification(
                    "--ex", value: "TIME",
                    "How long the value lives, such as 10min; a number alone is seconds."),
                OptionSpecification(
                    "--expire-at", value: "SECONDS",
                    "When it ends, in seconds since 1970 (a fraction is allowed)."),
                OptionSpecification("--keep-ttl", "It ends when the value that was there would have."),
                ValueOptions.context, ValueOptions.retry, ValueOptions.base64Key, Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet put greeting hello", "at the keyspace's own level"),
                ("martlet put session:7 x --ex 30min --level ONE", "gone after half an hour"),
                ("martlet put picture --file picture.png", "bytes from a file"),
                ("martlet put picture - < picture.png", "the same from stdin"),
                ("martlet put -- --odd-key 1", "-- ends the options"),
            ])
    ) { invocation throws(Failure) in
        let key = try ValueOptions.key(invocation)
        let words = try ValueOptions.words(invocation, isWrite: true) + expiry(invocation)
        let value = try value(invocation)
        let session = try Session(invocation)
        let reply = try ValueOptions.call(
            [Blob("VSET"), key, value] + words, about: key, session, invocation, isWrite: true)
        try ValueOptions.finishWrite(reply, key: key, session, invocation)
        return .done
    }
}

private func expiry(_ invocation: Invocation) throws(Failure) -> [Blob] {
    let given = ["--ex", "--expire-at", "--keep-ttl"].filter { invocation.line.has($0) }
    guard given.count < 2 else { throw .usage("\(given.joined(separator: " and ")) exclude each other") }
    if invocation.line.has("--keep-ttl") { return [Blob("KEEPTTL")] }
    if let life = try invocation.interval("--ex", bare: .seconds(1)) {
        return [Blob("PX"), Blob(String(life.milliseconds))]
    }
    guard let text = invocation.line.value("--expire-at") else { return [] }
    guard let seconds = Double(text), seconds > 0, seconds < 1e11 else {
        throw .usage("--expire-at: found \(quoted(text)), allowed: seconds since 1970, such as 1893456000")
    }
    return [Blob("PXAT"), Blob(String(Int64((seconds * 1_000).rounded())))]
}

private func value(_ invocation: Invocation) throws(Failure) -> Blob {
    let word = invocation.line.arguments.dropFirst().first
    guard let path = invocation.line.value("--file") else {
        guard let word else {
            throw .usage("missing VALUE: give the value, - for stdin, or --file FILE")
        }
        return word == "-" ? try read(STDIN_FILENO, "stdin") : Blob(word)
    }
    guard word == nil else { throw .usage("one value, please: VALUE or --file FILE") }
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .usage("--file: \(path) can't be read: \(errorText(errno))") }
    defer { close(file) }
    return try read(file, path)
}

private func read(_ file: Int32, _ name: String) throws(Failure) -> Blob {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: Limits.readBufferBytes)
    while true {
        let count = Glibc.read(file, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw .usage("\(name) can't be read: \(errorText(errno))") }
        if count == 0 { return Blob(bytes) }
        bytes += chunk[..<count]
        guard bytes.count <= Limits.valueBytesMax else {
            throw Failure(.refused, "TOOLARGE", "what=value max=\(Limits.valueBytesMax): \(name) has more")
        }
    }
}
