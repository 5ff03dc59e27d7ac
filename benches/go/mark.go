// The speed of marking, as in benches/src/bin/gc/mark.rs: full collections of one heap that stays
// alive.
package main

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"time"
)

const rounds = 5

type node struct {
	value uint64
	link  *node
}

type tree struct{ left, right *tree }

func build(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{build(depth - 1), build(depth - 1)}
}

func collect(shape string, objects int, keep any) {
	fastest := time.Hour
	for i := 0; i < rounds; i++ {
		since := time.Now()
		runtime.GC()
		if took := time.Since(since); took < fastest {
			fastest = took
		}
	}
	runtime.KeepAlive(keep)
	ms := float64(fastest.Nanoseconds()) / 1e6
	fmt.Printf("Go: mark %s %d: %.1f ms a collection, %.1f M objects per second\n", shape, objects, ms, float64(objects)/ms/1e3)
}

func main() {
	shape, objects := os.Args[1], 10_000_000
	if len(os.Args) > 2 {
		objects, _ = strconv.Atoi(os.Args[2])
	}
	switch shape {
	case "random":
		table := make([]*node, objects)
		for i := range table {
			table[i] = &node{value: uint64(i)}
		}
		state := uint64(7)
		for _, from := range table {
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			high, _ := bits.Mul64(state, uint64(objects))
			from.link = table[high]
		}
		collect(shape, objects, table)
	case "tree":
		depth := bits.Len(uint(objects+1)) - 2
		collect(shape, 2<<depth-1, build(depth))
	case "list":
		var first *node
		for i := 0; i < objects; i++ {
			first = &node{uint64(i), first}
		}
		collect(shape, objects, first)
	default:
		panic("no such shape")
	}
}
