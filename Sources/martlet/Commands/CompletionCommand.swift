import MartletConfig

extension Command {
    static let completion = Command(
        CommandSpecification(
            "completion", "Writes a script that completes martlet's words in a shell.",
            arguments: [ArgumentSpecification("SHELL", "bash, zsh or fish")],
            examples: [
                ("martlet completion bash > ~/.local/share/bash-completion/completions/martlet", "bash"),
                ("martlet completion zsh > ~/.zfunc/_martlet", "zsh, where ~/.zfunc is in fpath"),
                ("martlet completion fish > ~/.config/fish/completions/martlet.fish", "fish"),
            ],
            notes: "For one shell only: `source <(martlet completion bash)`.")
    ) { invocation throws(Failure) in
        let word = invocation.line.arguments[0]
        guard let shell = Completion.Shell(rawValue: word) else {
            let names = Completion.Shell.allCases.map(\.rawValue)
            let hint = nearest(word, in: names).map { " (did you mean \($0)?)" } ?? ""
            throw .usage(
                "SHELL: found \(quoted(word)), allowed: \(names.joined(separator: " "))\(hint)")
        }
        let script = Completion.script(for: shell, Program.specification)
        if invocation.isJSON {
            Output.write(
                .object([
                    ("format", .integer(1)), ("shell", .string(shell.rawValue)), ("script", .string(script)),
                ]))
        } else {
            Output.write(script)
        }
        return .done
    }
}

/// Scripts for shells, made from the table of commands that also parses: what it takes and what is completed
/// can't differ.
package enum Completion {
    package enum Shell: String, CaseIterable, Sendable { case bash, zsh, fish }

    package static func script(for shell: Shell, _ program: CommandSpecification) -> String {
        switch shell {
        case .bash: bash(program)
        case .zsh: zsh(program)
        case .fish: fish(program)
        }
    }

    /// A command with the words that lead to it, and the options that it takes there.
    private struct Place {
        let path: [String]
        let specification: CommandSpecification
        let options: [OptionSpecification]

        var commands: [CommandSpecification] { specification.commands }
        var key: String { path.joined(separator: " ") }
    }

    private static let help = OptionSpecification("--help", "Show this help.")

    private static func places(
        _ specification: CommandSpecification, _ path: [String] = [], inherited: [OptionSpecification] = []
    ) -> [Place] {
        let options = specification.options + inherited
        let here = Place(
            path: path + [specification.name], specification: specification, options: options + [help])
        return [here]
            + specification.commands.flatMap { places($0, here.path, inherited: options) }
    }

    /// What a value of an option or an argument may be.
    private enum Kind {
        case file, folder, anything
        case words([String])

        init(_ placeholder: String) {
            switch placeholder {
            case "FILE": self = .file
            case "FOLDER": self = .folder
            case "LEVEL": self = .words(LevelName.allCases.map(\.rawValue))
            case "SHELL": self = .words(Shell.allCases.map(\.rawValue))
            default: self = .anything
            }
        }
    }

    // MARK: bash

    private static func bash(_ program: CommandSpecification) -> String {
        let places = places(program)
        let name = program.name
        var out = """
            # Completes \(name)'s words in bash. Written by `\(name) completion bash`.
            _\(name)() {
                local word=${COMP_WORDS[COMP_CWORD]} path=\(name) option= i
                COMPREPLY=()
                for ((i = 1; i < COMP_CWORD; i++)); do
                    case $option in ?*) option= && continue ;; esac
                    case "$path ${COMP_WORDS[i]}" in

            """
        for place in places {
            for option in place.options where option.value != nil {
                out += "            '\(place.key) \(option.name)') option=\(option.name) ;;\n"
            }
            for command in place.commands {
                out += "            '\(place.key) \(command.name)') path='\(place.key) \(command.name)' ;;\n"
            }
        }
        out += """
                    esac
                done
                case "$path $option" in

            """
        for place in places {
            for option in place.options {
                guard let value = option.value else { continue }
                let action = bashAction(Kind(value))
                out += "        '\(place.key) \(option.name)') \(action) ;;\n"
            }
            let words = place.commands.map(\.name) + place.options.map(\.name)
            out += "        '\(place.key) ')\n"
            if let argument = place.specification.arguments.first {
                out += "            [[ $word == -* ]] || { \(bashAction(Kind(argument.name))); }\n"
            }
            out +=
                "            COMPREPLY+=($(compgen -W '\(words.joined(separator: " "))' -- \"$word\")) ;;\n"
        }
        return out + """
                esac
            }
            complete -F _\(name) \(name)

            """
    }

    private static func bashAction(_ kind: Kind) -> String {
        switch kind {
        case .file: "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$word\"))"
        case .folder: "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$word\"))"
        case .words(let words):
            "COMPREPLY=($(compgen -W '\(words.joined(separator: " "))' -- \"$word\"))"
        case .anything: ":"
        }
    }

    // MARK: zsh

    private static func zsh(_ program: CommandSpecification) -> String {
        let name = program.name
        var out = """
            #compdef \(name)
            # Completes \(name)'s words in zsh. Written by `\(name) completion zsh`.

            """
        for place in places(program) {
            out += "\n\(zshFunction(place.path))() {\n"
            if !place.commands.isEmpty {
                out += "    local context state state_descr line\n    typeset -A opt_args\n"
            }
            out += "    _arguments"
            if !place.commands.isEmpty { out += " -C" }
            for option in place.options { out += " \\\n        \(zshOption(option))" }
            if place.commands.isEmpty {
                for (index, argument) in place.specification.arguments.enumerated() {
                    let mark = argument.count == .optional ? "::" : ":"
                    let number = argument.count == .many || argument.count == .any ? "*" : "\(index + 1)"
                    let text = "\(number)\(mark)\(zshText(argument.help)):\(zshAction(Kind(argument.name)))"
                    out += " \\\n        \(shellQuoted(text))"
                }
                out += "\n}\n"
                continue
            }
            out += " \\\n        '1: :->command' \\\n        '*:: :->rest'\n    case $state in\n"
            out += "        command)\n            local -a commands=(\n"
            for command in place.commands {
                out += "                \(shellQuoted("\(command.name):\(zshText(command.summary))"))\n"
            }
            out += "            )\n            _describe -t commands command commands ;;\n        rest)\n"
            out += "            case $line[1] in\n"
            for command in place.commands {
                out += "                \(command.name)) \(zshFunction(place.path + [command.name])) ;;\n"
            }
            out += "            esac ;;\n    esac\n}\n"
        }
        return out + """

            if [ "$funcstack[1]" = "_\(name)" ]; then
                _\(name) "$@"
            else
                compdef _\(name) \(name)
            fi

            """
    }

    private static func zshFunction(_ path: [String]) -> String {
        "_" + path.map { $0.replacing("-", with: "_") }.joined(separator: "_")
    }

    private static func zshOption(_ option: OptionSpecification) -> String {
        let mark = option.repeats ? "*" : ""
        let head = "\(mark)\(option.name)[\(zshText(option.help))]"
        let value = option.value.map { ":\(zshText($0)):\(zshAction(Kind($0)))" } ?? ""
        return shellQuoted(head + value)
    }

    private static func zshAction(_ kind: Kind) -> String {
        switch kind {
        case .file: "_files"
        case .folder: "_files -/"
        case .words(let words): "(\(words.joined(separator: " ")))"
        // A space would do as well, but makes zsh list a lone option in place of writing it.
        case .anything: "{:}"
        }
    }

    private static func zshText(_ text: String) -> String {
        var out = ""
        for character in text {
            if "[]:\\".contains(character) { out += "\\" }
            out.append(character)
        }
        return out
    }

    // MARK: fish

    private static func fish(_ program: CommandSpecification) -> String {
        let name = program.name
        var out = """
            # Completes \(name)'s words in fish. Written by `\(name) completion fish`.
            complete -c \(name) -f

            """
        for place in places(program) {
            let condition = shellQuoted(fishCondition(place))
            for command in place.commands {
                out += "complete -c \(name) -n \(condition) -a \(command.name)"
                out += " -d \(fishQuoted(command.summary))\n"
            }
            for option in place.options {
                out += "complete -c \(name) -n \(condition) -l \(option.name.dropFirst(2))"
                if let value = option.value { out += fishValue(Kind(value)) }
                out += " -d \(fishQuoted(option.help))\n"
            }
            if let argument = place.specification.arguments.first {
                switch Kind(argument.name) {
                case .file: out += "complete -c \(name) -n \(condition) -F\n"
                case .folder:
                    out += "complete -c \(name) -n \(condition) -a '(__fish_complete_directories)'\n"
                case .words(let words):
                    out += "complete -c \(name) -n \(condition) -a '\(words.joined(separator: " "))'\n"
                case .anything: break
                }
            }
        }
        return out
    }

    /// The words of the path were given, and none of those that lead further.
    private static func fishCondition(_ place: Place) -> String {
        let seen = place.path.dropFirst().map { "__fish_seen_subcommand_from \($0)" }
        let further = place.commands.map(\.name)
        let none =
            further.isEmpty ? [] : ["not __fish_seen_subcommand_from \(further.joined(separator: " "))"]
        return (seen + none).joined(separator: "; and ")
    }

    private static func fishValue(_ kind: Kind) -> String {
        switch kind {
        case .file: " -r -F"
        case .folder: " -x -a '(__fish_complete_directories)'"
        case .words(let words): " -x -a '\(words.joined(separator: " "))'"
        case .anything: " -x"
        }
    }

    private static func fishQuoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    /// For sh and what is like it.
    private static func shellQuoted(_ text: String) -> String {
        "'" + text.replacing("'", with: "'\\''") + "'"
    }
}
