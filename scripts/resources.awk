# What ptxas says with --resource-usage as a table, a kernel a row; `file` is the source's name.
# Registers are of each architecture, in ptxas' order. Fails when registers are spilled.
/Compiling entry function/ {
    split($0, quoted, "'")
    kernel = quoted[2]
    if (!(kernel in registers)) order[++count] = kernel
}
# Of the kernel, and of functions that it calls.
/bytes stack frame/ {
    if ($1 + 0 > stack[kernel]) stack[kernel] = $1
    spilled[kernel] += $5 + $9
}
/Used [0-9]+ registers/ {
    for (i = 1; i <= NF; i++) {
        if ($i ~ /^registers/) registers[kernel] = registers[kernel] " " sprintf("%3d", $(i - 1))
        if ($i ~ /^smem/ && $(i - 2) + 0 > shared[kernel]) shared[kernel] = $(i - 2)
    }
}
END {
    for (i = 1; i <= count; i++) {
        kernel = order[i]
        note = spilled[kernel] ? "  SPILLS " spilled[kernel] " bytes" : ""
        printf "%-24s %-44s%s %7d %6d%s\n", file, kernel, registers[kernel], shared[kernel], stack[kernel], note
        wrong = wrong || spilled[kernel]
    }
    exit wrong
}
