import MartletBase
import MartletConfig

extension Command {
    static let delete = Command(
        CommandSpecification(
            "del", "Deletes a key.",
            arguments: [ValueOptions.keyArgument],
            options: [
                ValueOptions.level, ValueOptions.timeout, ValueOptions.context, ValueOptions.retry,
                ValueOptions.base64Key, Session.keyspaceOption,
            ] + Session.options,
            examples: [
                ("martlet del greeting", "whether or not the key was there"),
                ("martlet del greeting --level ALL --json", "with the delete's version, on all replicas"),
            ])
    ) { invocation throws(Failure) in
        let key = try ValueOptions.key(invocation)
        let words = try ValueOptions.words(invocation, isWrite: true)
        let session = try Session(invocation)
        let reply = try ValueOptions.call(
            [Blob("VDEL"), key] + words, about: key, session, invocation, isWrite: true)
        try ValueOptions.finishWrite(reply, key: key, session, invocation)
        return .done
    }
}
