/*
 * On-the-fly tri-colour mark-sweep as a Promela model with sequentially consistent memory.
 * It covers both start handshakes (H1 soft, H2 quiescent), the termination by one wave, weak
 * upgrades, handshake H3, and the concurrent sweep with one mark epoch per span.
 *
 * WHAT THE MODEL CONTAINS
 *  Size
 *   - Two mutators and one collector. The collector is coordinator, tracer and sweeper in one
 *     process. Its tracing steps interleave with its checks of acknowledgements.
 *   - N=4 object slots with one field each, in 2 spans of 2 slots. 2 root slots. At most 2 local
 *     references per mutator. One immortal weak cell that leads to slot 1.
 *   - Initial heap: root0 -> 0 -> 1 -> 2, and slot 3 is free. With CHAIN4: 2 -> 3, no free slot.
 *  Words
 *   - gword = cycle*4 + {0 IDLE, 1 PRE, 2/3 MARK} is the global request word. Each termination
 *     wave toggles 2 and 3.
 *   - st[m] is UNP, or the word that mutator m has pinned under or acknowledged.
 *   - `w` is the mutator's own word. Its phase changes only at a pin or an acknowledgement.
 *  Steps
 *   - Pin: load gword; publish st; check gword again (Dekker, by explicit interleaving).
 *   - Unpin: drop the references and flush; publish UNP.
 *   - Store in IDLE: plain. In PRE: shade(new), then as in MARK. In MARK: load old; shade(old);
 *     compare-exchange(old -> new); retry if it fails. The first store of alloc has no barrier.
 *   - V_SWAP swaps and then shades the returned old value, which is BROKEN. V_SWAP with
 *     FIX_CANCEL is another repair: a shade that finds the bit clear and the state Terminating
 *     exchanges the state for Open before its fetch_or.
 *   - shade: test the bit; test the state word; fetch_or, with a push to the private buffer.
 *   - Alloc: refill (compare-and-swap on the span's owner); alloc bit and init. If black, the
 *     mark bit and the publication are a further step. The colour follows the span's epoch.
 *   - Root::new shades in PRE, then publishes. Root::drop is deferred: the slot stays scanned
 *     until between two cycles (or see REUSE).
 *   - Weak upgrade: load the cell; mark bit; state word; span epoch; then shade, or exchange
 *     Terminating for Open and test again, or None; load the cell again.
 *   - Wave: state=Terminating; toggle the word; each mutator flushes, then acknowledges (two
 *     steps); test the queue; exchange Terminating for Closed (a separate step).
 *   - H3: mutators give their span caches back. If a mutator is unpinned, the collector takes its
 *     cache, and the mutator drops the cache at its next pin.
 *   - Sweep of a span, in six steps: claim the owner; null the dead weak cell; free; raise the
 *     epoch; clear the marks; release the owner.
 *   - A mutator may acknowledge or not at any operation boundary. It may unpin and stop at any
 *     time, and it may keep operating without acknowledging.
 *  Merged steps
 *   - Private steps (own phase, own buffer, choice of operands) are merged into the neighbouring
 *     shared access, which is exact. FINE separates the push.
 *   - With MARKONLY the run stops at Closed, and the bit test, the state test and the fetch_or are
 *     one step. That is exact too, because bits are monotone until Closed.
 *
 * PROPERTIES
 *  - At the exchange to Closed: everything reachable is marked (from live roots, from both
 *    mutators' local references, through fields).
 *  - At each sweep step and at the end of a cycle: everything reachable is allocated.
 *  - Every slot that is dereferenced, shaded or traced is allocated.
 *  - A shade happens only in a span of the current epoch.
 *  - Marks and queue are empty at the start of a cycle. Buffers are empty when H3 is acknowledged.
 *  - An upgrade returns Some(p) only if the cell's original object is still there. It never
 *    returns Some after a completed None. It returns None only if the target is unreachable.
 *  - No invalid end state (deadlock). No cycle in the state graph (with NP: the model terminates).
 *
 * HOW TO RUN
 *  .ci/spin.sh runs all bounds. By hand:
 *   spin <DEFS> -a protocol.pml
 *   gcc -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=256 -DMEMLIM=7600 -o pan pan.c
 *   ./pan -m200000 -w28
 *  Liveness: gcc ... -DNP -DNOFAIR (without -DSAFETY); ./pan -m200000 -l
 *  Trace:    spin <DEFS> -t -p protocol.pml
 *
 *  Definitions:
 *   K0, K1      operations of mutator 0 and 1
 *   P0, P1      pins of mutator 0 and 1 (a pin needs an operation that is left)
 *   CYCLES      1 or 2
 *   MARKONLY    the run stops at Closed
 *   NOWEAK, NOALLOC, NOROOTS  switch kinds of operations off
 *   ALLOC1      only mutator 1 allocates
 *   LATEH2      H2 may be requested at any time after T1
 *   ROOTORDER   roots are scanned in any order (default: 1, then 0)
 *   UNPDROP     unpinned threads drop roots too
 *   FINE        unmerged steps
 *   EARLYSWEEP  the sweep begins at Closed (see SWEEPABLE)
 *
 * BROKEN VARIANTS (.ci/spin.sh has the bounds that catch each)
 *   V_SWAP          swaps, then shades the old value
 *   V_NOINS         no shade(new) in PRE
 *   V_BLACKH1       new objects are black from H1 on
 *   V_TORN          load; shade; store
 *   V_ROOTDROP      Root::drop frees the slot at once
 *   V_ROOTNEW       Root::new does not shade in PRE
 *   V_WEAKTERM      an upgrade ignores Terminating
 *   V_DRAIN         a mutator drains its own buffer
 *   V_BLACKSWEPT    sets mark bits in a swept span
 *   V_WHITEUNSWEPT  IDLE refills from an unswept span
 *   V_NORECHECK     a pin does not check gword again
 *   V_ONEHS         one soft handshake only
 *   V_H2SOFT        H2 is not quiescent
 *   V_EARLYTRACE    traces before T1
 *   V_WAVENOFLUSH   a wave is acknowledged without a flush
 *   V_H3NOFLUSH     H3 is acknowledged without giving the cache back
 *   V_NORELOAD      an upgrade does not load the cell again
 *   V_TEXTWEAK      an upgrade tests for its own phase IDLE
 *   V_EPOCHFIRST    an upgrade reads the epoch before the state word
 *   V_CLEARFIRST    marks are cleared before the epoch is raised
 *   V_NULLLATE      the cell is nulled after the epoch is raised
 *   V_RESTAMP       a refill in MARK stamps a swept span anew
 *   V_NOFORFEIT     an unpinned thread keeps its cache over H3
 *   V_NOPINDROP     a mutator keeps using a cache from before the last H3
 *  V_NOFORFEIT, V_NULLLATE, V_NORELOAD and V_EPOCHFIRST break rules that EARLYSWEEP needs.
 *
 * EXTENSIONS, each off by default
 *  TRACER2   a second tracer. A shift lets it take grey slots. Before a wave, the coordinator shuts
 *            the gate, at a moment when no shift runs.
 *     V_NOGATE         the tracer also takes slots during the wave
 *     V_NOSHIFT        the coordinator does not wait for the shift
 *  ASSIST    a mutator in MARK takes a grey slot in a shift, scans it, and gives back the slots
 *            that it found. V_NOGATE and V_NOSHIFT apply too.
 *  EPH       an immortal table of one ephemeron, key 1 -> value 3, with get, insert and remove
 *            under its lock. The coordinator looks at it before and after the wave. The key has no
 *            edges, so it is marked and never grey. The code corresponds to EPH with FIX_CANCEL.
 *     V_EPHREMOVE      a removed or replaced value is not shaded
 *     V_EPHONCE        the coordinator looks before the wave only
 *     V_EPHREAD        a value is read unshaded. This variant holds: the objects that lead to a
 *                      key in hand are protected, and the value with them.
 *  LOCK0     the field of slot 0 lies behind a lock (GcLock) and is written without a barrier. A
 *            tracer passes over a held lock. In PRE a writer shades the value once, from the first
 *            pin in MARK on, and again only after a read. Slot 0 is scanned again after the unpin.
 *            The code corresponds to LOCK0 with FIX_CANCEL.
 *     V_LOCKNOSNAP     no shading when the lock is taken in MARK
 *     V_LOCKNOPRE      no shading in PRE
 *     V_LOCKNOLOOK     reads do not count
 *     V_LOCKNONOTE     the first pin in MARK is not noted
 *     V_LOCKNOAGAIN    no scan after the unpin
 *     V_LOCKKEEPSTAMP  a writer in PRE leaves the tracer's stamp
 *     V_LOCKACK        requests are acknowledged while the lock is held
 *  MUTSWEEP  after T3 a mutator in IDLE that needs a slot sweeps a span itself
 *     V_SWEEPNOWAIT    the next cycle begins while a mutator sweeps
 *     V_SWEEPEARLY     mutators sweep from their own H3 on, before T3
 *  REUSE     a mutator frees a root slot whose Root was dropped: in IDLE at once, in PRE and MARK
 *            after it has shaded the target
 *     V_REUSE          it does not shade
 *  COMEGO    mutator 1 is no member at first, and enlists before its first pin
 *     V_PINFIRST       it pins before it enlists
 */
#ifndef N
#define N 4
#endif
#ifndef NSPAN
#define NSPAN 2
#endif
#ifndef K0
#define K0 3
#endif
#ifndef K1
#define K1 3
#endif
#ifndef P0
#define P0 2
#endif
#ifndef P1
#define P1 2
#endif
#ifndef CYCLES
#define CYCLES 1
#endif
#define R 2
#define NIL 7
#define NONE 7
#define UNP 255
#define SWEEPER 3
#define BIT(x) (1<<(x))
/* The bit that a marked slot adds to a buffer: none if the slot has no edges. */
#ifdef EPH
#define GREY(x) (BIT(x) & ~BIT(1))
#else
#define GREY(x) BIT(x)
#endif
#define SP(x) ((x)>>1)
#define SPMASK(s) (3<<((s)<<1))
#define FREE(s) (SPMASK(s) & ~al)
#define PH(x) ((x)&3)
#define CY(x) ((x)>>2)
#define HSEQ(x) (CY(x)-(PH(x)!=0))
#define OPEN 1
#define TERM 2
#define CLOSED 0

byte f[N]; byte root[R]; bool rdead[R];
byte al, mk, q;
byte L[4];
byte st[2];
byte gword, mstate;
byte own[NSPAN]; byte epoch[NSPAN];
byte wk, wobj; bool wnone;
bool cdone;
#ifdef REUSE
bool rl;
#endif
#if defined(TRACER2) || defined(ASSIST)
byte shifts; bool gate;
#endif
#ifdef EPH
byte ek, ev; bool tl;
#endif
#ifdef LOCK0
bool lk; byte stamp, pre, inmark;
#endif
#ifdef MUTSWEEP
byte us, swg;
#endif
#ifdef COMEGO
bool member;
#endif

c_code {
static int reach_mask(void) {
  int r=0,i,k;
  for(i=0;i<R;i++) if(now.root[i]!=NIL && !now.rdead[i]) r|=1<<now.root[i];
  for(i=0;i<4;i++) if(now.L[i]!=NIL) r|=1<<now.L[i];
  for(k=0;k<N;k++) {
    for(i=0;i<N;i++) if((r>>i&1) && now.f[i]!=NIL) r|=1<<now.f[i];
#ifdef EPH
    if(now.ek!=NIL && (r>>now.ek&1)) r|=1<<now.ev;
#endif
  }
  return r;
}
}
#define REACH_MARKED  c_expr { ((reach_mask() & ~now.mk) == 0) }
#define REACH_ALLOC   c_expr { ((reach_mask() & ~now.al) == 0) }
#define WOBJ_UNREACH  c_expr { (now.wobj==NIL || !((reach_mask()>>now.wobj)&1)) }

#define L0 L[2*m]
#define L1 L[2*m+1]

inline putL(x) {
  if
  :: (x==NIL || x==L0 || x==L1) -> skip
  :: else ->
     if
     :: L1==NIL -> L1=x
     :: L1!=NIL -> L1=x
     :: L1!=NIL -> L0=x
     fi;
     if :: L0>L1 -> tmp=L0; L0=L1; L1=tmp; tmp=0 :: else -> skip fi
  fi
}
inline pickL(v) { if :: v=L0 :: L1!=NIL -> v=L1 fi }
inline pickLN(v) { if :: v=NIL :: L0!=NIL -> v=L0 :: L1!=NIL -> v=L1 fi }

#if defined(MARKONLY) && !defined(FINE)
/* One step: it includes the relaxed test and the state test, because bits are monotone until
 * Closed and the run ends at Closed. */
inline shade(x) {
  if
  :: x==NIL -> skip
  :: x!=NIL ->
#ifdef FIX_CANCEL
     if
     :: (mk & BIT(x)) -> skip
     :: !(mk & BIT(x)) -> atomic { if :: mstate==TERM -> mstate=OPEN :: else -> skip fi };
        atomic { if :: (mk & BIT(x)) -> skip
                    :: else -> assert(al & BIT(x)); mk = mk | BIT(x); buf = buf | GREY(x) fi }
     fi
#else
     atomic { if :: (mk & BIT(x)) -> skip
                 :: else -> assert(al & BIT(x)); mk = mk | BIT(x); buf = buf | GREY(x) fi }
#endif
  fi
}
#else
inline shade(x) {
  if
  :: x==NIL -> skip
  :: x!=NIL ->
     if
     :: (mk & BIT(x)) -> skip                         /* shade 1: relaxed test */
     :: !(mk & BIT(x)) ->
        if
        :: mstate==CLOSED -> skip                     /* shade 2: state word */
        :: mstate!=CLOSED ->
#ifdef FIX_CANCEL
           atomic { if :: mstate==TERM -> mstate=OPEN :: else -> skip fi };
#endif
#ifdef FINE
           atomic {                                   /* shade 3: fetch_or */
             if :: (mk & BIT(x)) -> skip
                :: else -> assert(al & BIT(x)); assert(epoch[SP(x)]==CY(w)); mk = mk | BIT(x); tmp=1 fi };
           atomic { if :: tmp -> buf = buf | GREY(x); tmp=0 :: else -> skip fi }  /* shade 4: push */
#else
           atomic {                                   /* shade 3 and 4: fetch_or, private push */
             if :: (mk & BIT(x)) -> skip
                :: else -> assert(al & BIT(x)); assert(epoch[SP(x)]==CY(w));
                           mk = mk | BIT(x); buf = buf | GREY(x) fi }
#endif
        fi
     fi
  fi
}
#endif
#ifdef V_BLACKH1
#define BLACK (PH(w)>=1)
#else
#ifdef V_BLACKSWEPT
#define BLACK (PH(w)>=2)
#else
#define BLACK (PH(w)>=2 && epoch[cache]==CY(w))
#endif
#endif
#ifdef V_WHITEUNSWEPT
#define REFILL_OK(s) (own[s]==0 && FREE(s))
#else
#define REFILL_OK(s) (own[s]==0 && FREE(s) && (PH(w)!=0 || epoch[s]==CY(w)+1))
#endif
/* A tracer reads the field of slot y into x. It reads NIL if the lock is held. */
#ifdef LOCK0
#define TRACE_FIELD(x,y,c) if :: (y==0 && lk) -> x=NIL :: (y==0 && !lk) -> x=f[y]; stamp=c :: y!=0 -> x=f[y] fi
#define HOLDS hold
#ifdef V_LOCKACK
#define MAYACK 1
#else
#define MAYACK (!hold)
#endif
#define READABLE(x) (x!=0 || !lk)
#define NODEBT (!debt)
#ifdef V_LOCKNOLOOK
#define LOOK(x) skip
#else
#define LOOK(x) if :: x==0 -> pre=0 :: x!=0 -> skip fi
#endif
#define NOSTORE 0
#else
#define TRACE_FIELD(x,y,c) x=f[y]
#define MAYACK 1
#define NODEBT 1
#define LOOK(x) skip
#define READABLE(x) 1
#ifdef EPH
#define NOSTORE 1
#else
#define NOSTORE NIL
#endif
#endif
/* Whether a plain store has a target: not the slot behind the lock, nor the key, which has no
 * edges. */
#define STORABLE ((L0!=NIL && L0!=NOSTORE) || (L1!=NIL && L1!=NOSTORE))
inline pickStore(v) { if :: (L0!=NOSTORE) -> v=L0 :: (L1!=NIL && L1!=NOSTORE) -> v=L1 fi }
inline takeq(y) { if :: (q&1) -> y=0 :: (q&2) -> y=1 :: (q&4) -> y=2 :: (q&8) -> y=3 fi; q=q & ~BIT(y) }

#ifdef EPH
#define INHAND(x) (L0==x || L1==x)
/* The value x passes through the table: as for a weak reference, but with a known answer. */
inline revive(x) {
  do
  :: (mk & BIT(x)) -> break
  :: !(mk & BIT(x)) ->
     o=mstate;
     if
     :: epoch[SP(x)]==CY(w)+1 || o==CLOSED -> break
     :: epoch[SP(x)]!=CY(w)+1 && o==TERM -> atomic { if :: mstate==TERM -> mstate=OPEN :: else -> skip fi }
     :: epoch[SP(x)]!=CY(w)+1 && o==OPEN -> shade(x); break
     fi
  od; o=0
}
#define EPH_UNMET (ek!=NIL && (mk & BIT(ek)) && !(mk & BIT(ev)))
#else
#define EPH_UNMET 0
#endif

/* The steps of a sweep of span s, in the right order. x is scratch. */
inline sweep_steps(s,c,x) {
     atomic {
       x = al & ~mk & SPMASK(s);
       al = al & ~x;
       assert(epoch[s]==c);
       assert(REACH_ALLOC);
       if :: wobj!=NIL && (x & BIT(wobj)) -> wobj=NIL :: else -> skip fi;
       if :: (x & BIT(2*s)) -> f[2*s]=NIL :: else -> skip fi;
       if :: (x & BIT(2*s+1)) -> f[2*s+1]=NIL :: else -> skip fi;
       x=0 };
     atomic { epoch[s]=c+1 };
     atomic { mk = mk & ~SPMASK(s) }
}
#define FULLC (cache==NONE || !FREE(cache))
#define GO (ops>0 && !cdone)
#ifdef ALLOC1
#define ALLOC_OK (m==1)
#else
#define ALLOC_OK 1
#endif

#ifdef V_ROOTDROP
#define DROP(i) root[i]=NIL
#else
#define DROP(i) rdead[i]=1
#endif
proctype Mut(byte m; byte ops; byte pins) {
  byte w=0, buf=0, cache=NONE, chs=0;
  byte t=0, n=0, o=0, tmp=0; bool wn0=0;
#ifdef LOCK0
  bool hold=0, debt=0;
#endif
#if defined(COMEGO) && !defined(V_PINFIRST)
  if :: m==1 -> member=1 :: m!=1 -> skip fi;
#endif
unpinned:
  do
  :: atomic { pins>0 && GO -> pins--; w=gword };                    /* pin 1: load the word */
pin2:
     atomic { st[m]=w };                                            /* pin 2: publish */
#if defined(COMEGO) && defined(V_PINFIRST)
     if :: atomic { gword==w && m==1 && !member -> skip }; atomic { member=1; goto pinned }
        :: atomic { !(gword==w && m==1 && !member) -> skip }
     fi;
#endif
#ifdef V_NORECHECK
     goto pinned
#else
     if
     :: atomic { gword!=w -> w=gword }; goto pin2                   /* pin 3: check again */
     :: atomic { gword==w ->
#if defined(LOCK0) && !defined(V_LOCKNONOTE)
          if :: PH(w)>=2 -> inmark=CY(w) :: PH(w)<2 -> skip fi;
#endif
#if (!defined(V_NOFORFEIT) || !defined(EARLYSWEEP)) && !defined(V_NOPINDROP)
          if :: (cache==NONE || HSEQ(w)==chs) -> goto pinned :: else -> skip fi
#else
          goto pinned
#endif
        }
     fi;
     atomic { if :: own[cache]==m+1 -> own[cache]=0 :: else -> skip fi; cache=NONE; goto pinned }
#endif
#ifdef UNPDROP
  :: atomic { GO && root[0]!=NIL && !rdead[0] -> ops--; DROP(0) }
  :: atomic { GO && root[1]!=NIL && !rdead[1] -> ops--; DROP(1) }
#endif
  :: (pins==0 || ops==0 || cdone) -> goto end
  od;
pinned:
  do
  /* ---- soft acknowledgements ---- */
  :: atomic { MAYACK && gword!=w && PH(gword)==1 -> w=gword; st[m]=w }                                   /* H1 */
  :: atomic { MAYACK && gword!=w && PH(gword)>=2 && PH(w)>=2 && buf==0 -> w=gword; st[m]=w }              /* wave */
#ifdef V_WAVENOFLUSH
  :: atomic { MAYACK && gword!=w && PH(gword)>=2 && PH(w)>=2 && buf!=0 -> w=gword; st[m]=w }
#else
  :: atomic { MAYACK && gword!=w && PH(gword)>=2 && PH(w)>=2 && buf!=0 -> q=q|buf; buf=0; };
     atomic { w=gword; st[m]=w }
#endif
#if defined(V_NORECHECK) || defined(V_ONEHS)
  :: atomic { MAYACK && gword!=w && PH(gword)>=2 && PH(w)==0 -> w=gword; st[m]=w }
#endif
#ifdef V_H2SOFT
  :: atomic { MAYACK && gword!=w && PH(gword)>=2 && PH(w)==1 -> w=gword; st[m]=w }
#endif
#ifndef V_H3NOFLUSH
  :: atomic { MAYACK && gword!=w && PH(gword)==0 && cache!=NONE ->                                        /* H3 */
       assert(buf==0); own[cache]=0; cache=NONE };
     atomic { w=gword; st[m]=w }
  :: atomic { MAYACK && gword!=w && PH(gword)==0 && cache==NONE -> assert(buf==0); w=gword; st[m]=w }
#else
  :: atomic { MAYACK && gword!=w && PH(gword)==0 -> assert(buf==0); w=gword; st[m]=w }
#endif
  /* ---- unpin ---- */
#ifdef LOCK0
  :: atomic { MAYACK && debt -> debt=0; L0=NIL; L1=NIL;
#ifndef V_LOCKNOAGAIN
       if :: (mk & BIT(0)) -> buf=buf|BIT(0) :: !(mk & BIT(0)) -> skip fi
#endif
     };
     atomic { q=q|buf; buf=0 };
     atomic { st[m]=UNP; w=0; goto unpinned }
#endif
  :: atomic { MAYACK && NODEBT && buf!=0 -> L0=NIL; L1=NIL; q=q|buf; buf=0 };
     atomic { st[m]=UNP; w=0; goto unpinned }
  :: atomic { MAYACK && NODEBT && buf==0 -> L0=NIL; L1=NIL; st[m]=UNP; w=0; goto unpinned }
#ifdef V_DRAIN
  :: atomic { buf!=0 && PH(w)>=2 ->
       if :: (buf&1) -> o=0 :: (buf&2) -> o=1 :: (buf&4) -> o=2 :: (buf&8) -> o=3 fi;
       buf = buf & ~BIT(o); t=f[o]; o=0 };
     shade(t); t=0
#endif
  /* ---- root get, load ---- */
  :: atomic { GO && root[0]!=NIL && !rdead[0] && root[0]!=L0 && root[0]!=L1 -> ops--; t=root[0]; putL(t); t=0 }
  :: atomic { GO && root[1]!=NIL && !rdead[1] && root[1]!=L0 && root[1]!=L1 -> ops--; t=root[1]; putL(t); t=0 }
  :: atomic { GO && L0!=NIL && READABLE(L0) && f[L0]!=NIL && f[L0]!=L0 && f[L0]!=L1 ->
       ops--; assert(al & BIT(L0)); LOOK(L0); t=f[L0]; putL(t); t=0 }
  :: atomic { GO && L1!=NIL && READABLE(L1) && f[L1]!=NIL && f[L1]!=L0 && f[L1]!=L1 ->
       ops--; assert(al & BIT(L1)); LOOK(L1); t=f[L1]; putL(t); t=0 }
  /* ---- store ---- */
#if defined(V_TORN)
  :: atomic { GO && L0!=NIL -> ops--; pickL(t); pickLN(n); assert(al & BIT(t));
       if :: n==t -> n=NIL :: else -> skip fi;
       if :: PH(w)==0 -> f[t]=n; t=0; n=0; goto pinned :: else -> skip fi };
#ifndef V_NOINS
     if :: PH(w)==1 -> shade(n) :: else -> skip fi;
#endif
     atomic { o=f[t] };
     shade(o);
     atomic { f[t]=n; t=0; n=0; o=0 }
#else
  :: atomic { GO && STORABLE -> ops--; pickStore(t); pickLN(n); assert(al & BIT(t));
       if :: n==t -> n=NIL :: else -> skip fi;
       if :: PH(w)==0 -> f[t]=n; t=0; n=0; goto pinned
#ifndef V_NOINS
          :: PH(w)==1 && n!=NIL -> skip
          :: (PH(w)>1 || (PH(w)==1 && n==NIL)) -> goto do_swap
#else
          :: PH(w)>=1 -> goto do_swap
#endif
       fi };
#ifndef V_NOINS
     shade(n);
#endif
#ifdef V_SWAP                                         /* broken: swap, then shade the old value */
     atomic { skip;
do_swap: o=f[t]; f[t]=n; t=0; n=0; if :: o==NIL -> o=0; goto pinned :: else -> skip fi };
     shade(o); o=0
#else                                                 /* load, shade, compare-exchange, retry */
do_swap:
     atomic { o=f[t]; if :: o==NIL -> goto do_cas :: else -> skip fi };
     shade(o);
do_cas:
     atomic { if :: f[t]==o -> f[t]=n; t=0; n=0; o=0 :: else -> o=0; goto do_swap fi }
#endif
#endif
  /* ---- alloc ---- */
#ifndef NOALLOC
  :: atomic { GO && ALLOC_OK && FULLC && (REFILL_OK(0) || REFILL_OK(1)) ->
       if :: REFILL_OK(0) -> t=0 :: REFILL_OK(1) -> t=1 fi;
       if :: cache!=NONE -> own[cache]=0 :: else -> skip fi;
       cache=t; own[t]=m+1; chs=HSEQ(w); t=0;
#ifdef V_RESTAMP
       if :: PH(w)>=2 -> epoch[cache]=CY(w) :: else -> skip fi
#endif
     }
     goto do_alloc
  :: atomic { GO && ALLOC_OK && !FULLC -> skip }; 
do_alloc:
     atomic { ops--; pickLN(n); assert(own[cache]==m+1);
       if :: (FREE(cache) & BIT(2*cache)) -> t=2*cache :: else -> t=2*cache+1 fi;
       al = al | BIT(t); f[t]=n; n=0;
       if :: BLACK -> skip :: else -> putL(t); t=0; goto pinned fi };
     atomic { mk = mk | BIT(t); putL(t); t=0 }
#endif
  /* ---- root new / drop ---- */
#ifndef NOROOTS
  :: atomic { GO && L0!=NIL && (root[0]==NIL || root[1]==NIL) -> ops--; pickL(t) };
#ifndef V_ROOTNEW
     if :: PH(w)==1 -> shade(t) :: else -> skip fi;
#endif
     atomic { if :: root[0]==NIL -> root[0]=t :: root[1]==NIL -> root[1]=t
                 :: root[0]!=NIL && root[1]!=NIL -> skip fi; t=0 }
  :: atomic { GO && root[0]!=NIL && !rdead[0] -> ops--; DROP(0) }
  :: atomic { GO && root[1]!=NIL && !rdead[1] -> ops--; DROP(1) }
#endif
#ifdef REUSE
  /* ---- a dropped slot is freed by a mutator, under the table's lock ---- */
  :: atomic { GO && !rl && PH(w)==0 && rdead[0] -> ops--; rdead[0]=0; root[0]=NIL }
  :: atomic { GO && !rl && PH(w)==0 && rdead[1] -> ops--; rdead[1]=0; root[1]=NIL }
  :: atomic { GO && !rl && PH(w)!=0 && rdead[0] -> ops--; rl=1; t=root[0] };
#ifndef V_REUSE
     shade(t);
#endif
     atomic { rdead[0]=0; root[0]=NIL; rl=0; t=0 }
  :: atomic { GO && !rl && PH(w)!=0 && rdead[1] -> ops--; rl=1; t=root[1] };
#ifndef V_REUSE
     shade(t);
#endif
     atomic { rdead[1]=0; root[1]=NIL; rl=0; t=0 }
#endif
  /* ---- assist ---- */
#ifdef ASSIST
#ifdef V_NOGATE
  :: atomic { GO && PH(w)>=2 && mstate!=CLOSED && q!=0 -> ops--; shifts++; takeq(t) };
#else
  :: atomic { GO && PH(w)>=2 && gate && q!=0 -> ops--; shifts++; takeq(t) };
#endif
     atomic { TRACE_FIELD(o,t,CY(w)); t=0 };
     atomic { if :: o==NIL -> skip
                 :: o!=NIL -> assert(al & BIT(o)); if :: (mk & BIT(o)) -> skip :: else -> mk=mk|BIT(o); q=q|GREY(o) fi fi; o=0 };
     atomic { shifts--; goto pinned }
#endif
  /* ---- ephemeron: get, insert, remove ---- */
#ifdef EPH
  :: atomic { GO && !tl && ek!=NIL && INHAND(ek) -> ops--; tl=1; t=ev };
#ifndef V_EPHREAD
     revive(t);
#endif
     atomic { putL(t); t=0; tl=0 }
  :: atomic { GO && !tl && L0!=NIL && (ek==NIL && INHAND(1) || ek!=NIL && INHAND(ek)) -> ops--; tl=1; pickL(n) };
     revive(n);
#ifndef V_EPHREMOVE
     if :: ek!=NIL -> t=ev; revive(t) :: ek==NIL -> skip fi;
#endif
     atomic { ev=n; if :: ek==NIL -> ek=1 :: else -> skip fi; n=0; t=0; tl=0 }
  :: atomic { GO && !tl && ek!=NIL && INHAND(ek) -> ops--; tl=1; t=ev };
#ifndef V_EPHREMOVE
     revive(t);
#endif
     atomic { ek=NIL; ev=NIL; putL(t); t=0; tl=0 }
#endif
  /* ---- the lock of slot 0 ---- */
#ifdef LOCK0
  :: atomic { GO && (L0==0 || L1==0) && !lk -> ops--; lk=1; hold=1; t=f[0] };
     if
     :: PH(w)==1 ->
        if
        :: inmark==CY(w) && pre!=CY(w) ->
#ifndef V_LOCKNOPRE
           shade(t);
#endif
           pre=CY(w)
        :: inmark!=CY(w) || pre==CY(w) -> skip
        fi;
        debt=1;
#ifndef V_LOCKKEEPSTAMP
        stamp=0
#endif
     :: PH(w)>=2 && stamp!=CY(w) ->
#ifndef V_LOCKNOSNAP
        shade(t);
#endif
        stamp=CY(w)
     :: PH(w)==0 || (PH(w)>=2 && stamp==CY(w)) -> skip
     fi;
     t=0
  :: atomic { GO && hold && f[0]!=NIL -> ops--; t=f[0]; putL(t); t=0 }
  :: atomic { GO && hold -> ops--; pickLN(n); if :: n==0 -> n=NIL :: else -> skip fi; f[0]=n; n=0 }
  :: atomic { hold -> lk=0; hold=0 }
#endif
  /* ---- sweep for a slot ---- */
#ifdef MUTSWEEP
#ifdef V_SWEEPEARLY
  :: atomic { GO && FULLC && PH(w)==0 && CY(w)>0 && CY(w)==CY(gword) && (epoch[0]==CY(w) && own[0]==0 || epoch[1]==CY(w) && own[1]==0) -> ops--;
       if :: epoch[0]==CY(w) && own[0]==0 -> t=0 :: epoch[1]==CY(w) && own[1]==0 -> t=1 fi; us=us & ~BIT(t); swg++; own[t]=m+1 };
#else
  :: atomic { GO && FULLC && PH(w)==0 && us!=0 -> ops--; if :: (us&1) -> t=0 :: (us&2) -> t=1 fi; us=us & ~BIT(t); swg++; own[t]=m+1 };
#endif
     sweep_steps(t,CY(w),o);
     atomic { swg--;
       if :: cache!=NONE -> own[cache]=0 :: else -> skip fi;
       if :: FREE(t) -> cache=t; chs=HSEQ(w) :: else -> cache=NONE; own[t]=0 fi; t=0; goto pinned }
#endif
  /* ---- weak upgrade ---- */
#ifndef NOWEAK
  :: atomic { GO -> ops--; wn0=wnone; t=wk; 
       if :: t==NIL -> assert(WOBJ_UNREACH); wnone=1; t=0; wn0=0; goto pinned :: else -> skip fi };
#ifdef V_TEXTWEAK
     if :: (PH(w)==0 && epoch[SP(t)]==CY(w)+1) -> goto w_ok
        :: !(PH(w)==0 && epoch[SP(t)]==CY(w)+1) -> skip fi;
#endif
w_test:
     if :: (mk & BIT(t)) -> goto w_ok :: !(mk & BIT(t)) -> skip fi;  /* upgrade 2: mark bit */
#ifdef V_TEXTWEAK
     if
     :: mstate==OPEN -> goto w_shade
     :: mstate==TERM -> goto w_cas
     :: mstate==CLOSED -> goto w_none
     fi;
#else
#ifdef V_EPOCHFIRST  /* broken: state word read after the epoch */
     if :: epoch[SP(t)]==CY(w)+1 -> goto w_ok :: epoch[SP(t)]!=CY(w)+1 -> skip fi;
     o=mstate;
#else
     o=mstate;                                                        /* upgrade 3: state word */
     if :: epoch[SP(t)]==CY(w)+1 -> o=0; goto w_ok                    /* upgrade 4: span epoch, AFTER the state */
        :: epoch[SP(t)]!=CY(w)+1 -> skip fi;
#endif
     if
     :: o==CLOSED -> goto w_none
#ifdef V_WEAKTERM
     :: o!=CLOSED -> o=0; goto w_shade
#else
     :: o==OPEN -> o=0; goto w_shade
     :: o==TERM -> o=0; goto w_cas
#endif
     fi;
#endif
w_cas: atomic { if :: mstate==TERM -> mstate=OPEN :: else -> skip fi; goto w_test };
w_shade: shade(t);
w_ok:
#ifdef V_NORELOAD
     atomic { assert(!wn0); assert(wobj==t); putL(t); t=0; wn0=0 ; goto pinned };
#else
     atomic { if :: wk==t -> assert(!wn0); assert(wobj==t); putL(t)
                 :: else -> assert(WOBJ_UNREACH); wnone=1 fi; t=0; wn0=0; goto pinned };
#endif
w_none:
     atomic { assert(WOBJ_UNREACH); wnone=1; t=0; wn0=0; goto pinned }
#endif
  od;
end: skip
}

#ifdef COMEGO
#define ACKED(i) ((i==1 && !member) || st[i]==UNP || st[i]==gword)
#else
#define ACKED(i) (st[i]==UNP || st[i]==gword)
#endif
/* Default: the sweep begins at T3 and after the weak cell was cleared. At T3 every mutator has given
 * its cache back or will forget it at its next pin.
 * EARLYSWEEP: from the closing on, spans that no mutator owns are swept, and weak cells are cleared
 * span by span. The collector takes over an unpinned mutator's cache. */
#if defined(MUTSWEEP)
#define SWEEPABLE(s) (h3 && pend==0 && (us & BIT(s)))
#elif !defined(EARLYSWEEP)
#define SWEEPABLE(s) (h3 && pend==0 && epoch[s]==c)
#else
#define SWEEPABLE(s) (own[s]==0 && epoch[s]==c)
#endif

#if defined(TRACER2) || defined(ASSIST)
#define REOPEN mstate=OPEN; gate=1
#else
#define REOPEN mstate=OPEN
#endif
#ifdef MUTSWEEP
/* T3: no mutator will use a span of this cycle again. */
#define SWEEP_BEGINS if :: pend==0 -> us=(epoch[0]==c)+2*(epoch[1]==c); if :: (us&1) -> own[0]=0 :: else -> skip fi; \
  if :: (us&2) -> own[1]=0 :: else -> skip fi :: else -> skip fi
#define TAKEN(s) us=us & ~BIT(s)
#define SWEPT (us==0 && SWG0)
#ifdef V_SWEEPNOWAIT
#define SWG0 1
#else
#define SWG0 (swg==0)
#endif
#else
#define SWEEP_BEGINS skip
#define TAKEN(s) skip
#define SWEPT (epoch[0]==c+1 && epoch[1]==c+1)
#endif
#ifdef TRACER2
proctype Helper() {
  byte hb=0, y=0, x=0;
end_helper:
  do
#ifdef V_NOGATE
  :: atomic { mstate!=CLOSED && q!=0 -> shifts++; takeq(y) };
#else
  :: atomic { gate && q!=0 -> shifts++; takeq(y) };
#endif
scan:
     atomic { TRACE_FIELD(x,y,CY(gword)); y=0 };
     atomic { if :: x==NIL -> skip
                 :: x!=NIL -> assert(al & BIT(x)); if :: (mk & BIT(x)) -> skip :: else -> mk=mk|BIT(x); hb=hb|GREY(x) fi fi; x=0;
       if :: hb==0 -> shifts--
          :: hb!=0 -> if :: (hb&1) -> y=0 :: (hb&2) -> y=1 :: (hb&4) -> y=2 :: (hb&8) -> y=3 fi; hb=hb & ~BIT(y); goto scan fi }
  :: cdone -> break
  od
}
#endif

proctype Coll() {
  byte c=1, pend=0, rs=0, x=0, y=0, s=0; bool h2=0, h3=0;
cycle:
  atomic { assert(mk==0 && q==0); mstate=OPEN };
#ifdef V_ONEHS
  atomic { gword=c*4+2; pend=3; h2=1 };
#else
  atomic { gword=c*4+1; pend=3; h2=0 };
#endif
#ifndef V_EARLYTRACE
  (ACKED(0)); (ACKED(1));                                           /* T1 */
#ifndef V_ONEHS
#ifndef LATEH2
  atomic { gword=c*4+2; h2=1 };                                     /* H2 */
#endif
#endif
#endif
  rs=0;
#if defined(TRACER2) || defined(ASSIST)
  gate=1;
#endif
mark:
  do
#ifdef V_EARLYTRACE
  :: atomic { !h2 && pend==0 -> gword=c*4+2; h2=1; pend=3 }
#else
#ifdef LATEH2
  :: atomic { !h2 -> gword=c*4+2; h2=1; pend=3 }
#endif
#endif
  :: atomic { (pend&1) && ACKED(0) -> pend=2 }
  :: atomic { pend==2 && ACKED(1) -> pend=0 }
#ifdef ROOTORDER
  :: atomic { !(rs&1) -> rs=rs|1; x=root[0]; if :: x==NIL -> x=0; goto mark :: else -> skip fi }; goto dox
  :: atomic { !(rs&2) -> rs=rs|2; x=root[1]; if :: x==NIL -> x=0; goto mark :: else -> skip fi }; goto dox
#else
  :: atomic { rs==0 -> rs=2; x=root[1]; if :: x==NIL -> x=0; goto mark :: else -> skip fi }; goto dox
  :: atomic { rs==2 -> rs=3; x=root[0]; if :: x==NIL -> x=0; goto mark :: else -> skip fi }; goto dox
#endif
  :: atomic { q!=0 -> if :: (q&1) -> y=0 :: (q&2) -> y=1 :: (q&4) -> y=2 :: (q&8) -> y=3 fi; q=q & ~BIT(y);
        TRACE_FIELD(x,y,c); y=0; if :: x==NIL -> x=0; goto mark :: else -> skip fi };
dox: atomic { assert(al & BIT(x)); if :: (mk & BIT(x)) -> skip :: else -> mk=mk|BIT(x); q=q|GREY(x) fi; x=0 }
#ifdef EPH
  :: atomic { !tl && EPH_UNMET -> x=ev }; goto dox
  :: atomic { h2 && pend==0 && rs==3 && q==0 && !tl && !EPH_UNMET -> skip };   /* look at the table, then shut the gate */
#if defined(TRACER2) || defined(ASSIST)
     if :: atomic { shifts==0 -> gate=0 } :: atomic { shifts!=0 -> goto mark } fi;
#endif
     break
#elif (defined(TRACER2) || defined(ASSIST)) && !defined(V_NOSHIFT)
  :: atomic { h2 && pend==0 && rs==3 && q==0 && shifts==0 -> gate=0; break }
#else
  :: atomic { h2 && pend==0 && rs==3 && q==0 -> break }
#endif
  od;
  /* wave */
  mstate=TERM;
  atomic { gword=gword ^ 1; pend=0 };
  (ACKED(0)); (ACKED(1));
#if defined(EPH) && !defined(V_EPHONCE)
  if
  :: atomic { !tl && EPH_UNMET -> skip }; mstate=OPEN; goto mark
  :: atomic { !tl && !EPH_UNMET -> skip }
  fi;
#endif
  if
  :: q!=0 -> REOPEN; goto mark
  :: q==0 -> skip
  fi;
  atomic {
    if :: mstate==TERM -> mstate=CLOSED; assert(REACH_MARKED)
       :: else -> REOPEN; goto mark
    fi };
#ifdef MARKONLY
  cdone=1; goto fin;
#endif
#ifdef EPH
  atomic { !tl -> if :: ek!=NIL && !(mk & BIT(ek)) -> ek=NIL; ev=NIL :: else -> skip fi };
#endif
#if !defined(EARLYSWEEP) && !defined(V_NULLLATE)
  atomic { if :: wk!=NIL && !(mk & BIT(wk)) -> wk=NIL :: else -> skip fi };
#endif
  h3=0;
  do
  :: atomic { !h3 -> gword=c*4; h3=1; pend=3 }
  :: atomic { h3 && (pend&1) && st[0]==gword -> pend=pend&2; SWEEP_BEGINS }
  :: atomic { h3 && (pend&2) && st[1]==gword -> pend=pend&1; SWEEP_BEGINS }
  :: atomic { h3 && (pend&1) && st[0]==UNP -> x=1 }; goto forf
  :: atomic { h3 && (pend&2) && st[1]==UNP -> x=2 };
forf:
#if !defined(V_NOFORFEIT) && defined(EARLYSWEEP)
     atomic { if :: own[0]==x && epoch[0]==c -> own[0]=0 :: else -> skip fi };
     atomic { if :: own[1]==x && epoch[1]==c -> own[1]=0 :: else -> skip fi };
#endif
     atomic { pend=pend & ~x; x=0; SWEEP_BEGINS }
  :: atomic { SWEEPABLE(0) -> own[0]=SWEEPER; TAKEN(0); s=0 }; goto dosweep
  :: atomic { SWEEPABLE(1) -> own[1]=SWEEPER; TAKEN(1); s=1 };
dosweep:
#if !defined(V_NULLLATE) && defined(EARLYSWEEP)
     atomic { if :: wk!=NIL && SP(wk)==s && !(mk & BIT(wk)) -> wk=NIL :: else -> skip fi };
#endif
     atomic {
       x = al & ~mk & SPMASK(s);
       al = al & ~x;
       if :: wobj!=NIL && (x & BIT(wobj)) -> wobj=NIL :: else -> skip fi;
       assert(REACH_ALLOC);
       if :: (x & BIT(2*s)) -> f[2*s]=NIL :: else -> skip fi;
       if :: (x & BIT(2*s+1)) -> f[2*s+1]=NIL :: else -> skip fi;
       x=0 };
#ifdef V_CLEARFIRST
     atomic { mk = mk & ~SPMASK(s) };
     atomic { epoch[s]=c+1 };
#else
     atomic { epoch[s]=c+1 };
     atomic { mk = mk & ~SPMASK(s) };
#endif
#ifdef V_NULLLATE
     atomic { if :: wk!=NIL && SP(wk)==s && !(al & BIT(wk)) -> wk=NIL :: else -> skip fi };
#endif
     atomic { own[s]=0; s=0 }
  :: atomic { h3 && pend==0 && SWEPT -> break }
  od;
  atomic { assert(REACH_ALLOC);
    if :: rdead[0] -> rdead[0]=0; root[0]=NIL :: else -> skip fi;
    if :: rdead[1] -> rdead[1]=0; root[1]=NIL :: else -> skip fi;
    pend=0; rs=0; h2=0; h3=0 };
  if
  :: atomic { c<CYCLES -> c++ ; goto cycle }
  :: c>=CYCLES -> cdone=1
  fi;
fin: skip
}

init {
  atomic {
    f[0]=1; f[1]=2; f[3]=NIL;
#ifdef CHAIN4
    f[2]=3; al=15;
#elif defined(EPH)
    f[0]=2; f[1]=NIL; f[2]=1; al=15; ek=1; ev=3;
#else
    f[2]=NIL; al=7;
#endif
    root[0]=0; root[1]=NIL;
    wk=1; wobj=1;
    L[0]=NIL; L[1]=NIL; L[2]=NIL; L[3]=NIL;
    st[0]=UNP; st[1]=UNP; 
    epoch[0]=1; epoch[1]=1;
    run Mut(0,K0,P0); run Mut(1,K1,P1); run Coll();
#ifdef TRACER2
    run Helper()
#endif
  }
}
