package main

// What a process costs, seen from outside. Deno reads /proc only for programs that may do everything, which
// the benchmark is not.

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// usage says null for what the platform does not tell.
type usage struct {
	// ProcessMs and MainThreadMs are CPU time since the process began.
	ProcessMs     *float64 `json:"processMs"`
	MainThreadMs  *float64 `json:"mainThreadMs"`
	ResidentBytes *float64 `json:"residentBytes"`
}

func runUsage() {
	pids := bufio.NewScanner(os.Stdin)
	for pids.Scan() {
		pid := pids.Text()
		switch runtime.GOOS {
		case "linux":
			printJSON(usage{
				ProcessMs:     cpuMs(fmt.Sprintf("/proc/%s/stat", pid)),
				MainThreadMs:  cpuMs(fmt.Sprintf("/proc/%s/task/%s/stat", pid, pid)),
				ResidentBytes: kilobytes(statusField(pid, "VmRSS:")),
			})
		case "windows":
			printJSON(usage{})
		default:
			text, _ := exec.Command("ps", "-o", "rss=", "-p", pid).Output()
			printJSON(usage{ResidentBytes: kilobytes(string(text))})
		}
	}
}

// USER_HZ is 100 on every Linux that Deno runs on.
const msPerTick = 10

func cpuMs(path string) *float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	// The name in brackets may hold spaces; utime and stime are the 14th and 15th field of the whole.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return nil
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	total := (user + system) * msPerTick
	return &total
}

func statusField(pid, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%s/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			return strings.TrimSuffix(strings.TrimSpace(rest), " kB")
		}
	}
	return ""
}

func kilobytes(text string) *float64 {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return nil
	}
	value *= 1024
	return &value
}
