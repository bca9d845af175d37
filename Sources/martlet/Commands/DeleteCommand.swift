import MartletBase
import MartletConfig

extension Command {
    static let delete = Command(
        CommandSpecification(
            "del", "Deletes a key.",
            arguments: [ArgumentSpecification("KEY", "the key")],
            options: [
                ValueOptions.level, ValueOptions.timeout, ValueOptions.context, ValueOptions.retry,
                Session.keyspaceOption,
            ] + Session.options,
            examples: [("martlet del greeting", "whether or not the key was there")])
    ) { invocation throws(Failure) in
        let key = invocation.line.arguments[0]
        let words = try ValueOptions.words(invocation, isWrite: true)
        let within = try ValueOptions.answerWithin(invocation)
        let session = try Session(invocation)
        let reply = try session.call([Blob("VDEL"), Blob(key)] + words, within: within, isWrite: true)
        try ValueOptions.finishWrite(reply, key: key, session, invocation)
        return .done
    }
}
