import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let put = Command(
        CommandSpecification(
            "put", "Writes a key.",
            arguments: [
                ArgumentSpecification("KEY", "the key"),
                ArgumentSpecification("VALUE", "the value; - reads it from stdin, as it is"),
            ],
            options: [
                ValueOptions.level, ValueOptions.timeout,
                OptionSpecification(
                    "--ex", value: "TIME",
                    "How long the value lives, such as 10min; a number alone is seconds."),
                ValueOptions.context, ValueOptions.retry, Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet put greeting hello", "at the keyspace's own level"),
                ("martlet put session:7 x --ex 30min --level ONE", "gone after half an hour"),
                ("martlet put picture - < picture.png", "bytes from a file"),
                ("martlet put -- --odd-key 1", "-- ends the options"),
            ])
    ) { invocation throws(Failure) in
        let key = invocation.line.arguments[0]
        let text = invocation.line.arguments[1]
        var words = try ValueOptions.words(invocation, isWrite: true)
        if let life = try invocation.interval("--ex", bare: .seconds(1)) {
            words += [Blob("PX"), Blob(String(life.milliseconds))]
        }
        let within = try ValueOptions.answerWithin(invocation)
        let value = text == "-" ? try readStandardInput() : Blob(text)
        let session = try Session(invocation)
        let reply = try session.call(
            [Blob("VSET"), Blob(key), value] + words, within: within, isWrite: true)
        try ValueOptions.finishWrite(reply, key: key, session, invocation)
        return .done
    }
}

private func readStandardInput() throws(Failure) -> Blob {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: Limits.readBufferBytes)
    while true {
        let count = read(STDIN_FILENO, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw .usage("stdin can't be read: \(errorText(errno))") }
        if count == 0 { return Blob(bytes) }
        bytes += chunk[..<count]
        guard bytes.count <= Limits.valueBytesMax else {
            throw Failure(.refused, "TOOLARGE", "what=value max=\(Limits.valueBytesMax): stdin has more")
        }
    }
}
