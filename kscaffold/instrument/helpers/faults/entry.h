/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KS_ENTRY(NAME): the entry of a function, in each machine's own words, as no C prototype fits all functions.
 * It keeps what a call hands over in registers, asks ks_fails(), and jumps on to the function, or returns. The
 * stack is then as the caller left it, so that what it holds of arguments is in its place.
 */
#ifndef KS_ENTRY_H
#define KS_ENTRY_H

#include <linux/linkage.h>

#if defined(CONFIG_X86_64)
#ifdef CONFIG_X86_KERNEL_IBT
#define KS_LANDING "endbr64\n"
#else
#define KS_LANDING ""
#endif
#ifdef ASM_RET
#define KS_RETURN ASM_RET
#else
#define KS_RETURN "ret\n"
#endif
/* rax has the number of vector registers where there are variable arguments. */
#define KS_ENTRY(name)                                                                       \
	asm(".pushsection .text\n"                                                           \
	    ".globl kf_" #name "\n"                                                          \
	    ".type kf_" #name ", @function\n"                                                \
	    ".balign 16\n"                                                                   \
	    "kf_" #name ":\n" KS_LANDING                                                     \
	    "push %rax\n push %r9\n push %r8\n push %rcx\n push %rdx\n push %rsi\n push %rdi\n" \
	    "mov $ks_call_" #name ", %rdi\n"                                                 \
	    "mov 56(%rsp), %rsi\n"                                                           \
	    "mov %rsp, %rdx\n"                                                               \
	    "lea 48(%rsp), %rcx\n"                                                           \
	    "call ks_fails\n"                                                                \
	    "movzbl %al, %r11d\n"                                                            \
	    "pop %rdi\n pop %rsi\n pop %rdx\n pop %rcx\n pop %r8\n pop %r9\n pop %rax\n"      \
	    "test %r11d, %r11d\n"                                                            \
	    "jz " #name "\n" KS_RETURN                                                       \
	    ".size kf_" #name ", . - kf_" #name "\n"                                         \
	    ".popsection\n");
#elif defined(CONFIG_ARM64)
#define KS_ENTRY(name)                                                                       \
	asm(".pushsection .text\n"                                                           \
	    ".globl kf_" #name "\n"                                                          \
	    ".type kf_" #name ", %function\n"                                                \
	    ".balign 16\n"                                                                   \
	    "kf_" #name ":\n"                                                                \
	    "hint #34\n" /* bti c */                                                         \
	    "stp x29, x30, [sp, #-96]!\n"                                                    \
	    "mov x29, sp\n"                                                                  \
	    "stp x0, x1, [sp, #16]\n stp x2, x3, [sp, #32]\n stp x4, x5, [sp, #48]\n"        \
	    "stp x6, x7, [sp, #64]\n str x8, [sp, #80]\n"                                    \
	    "adrp x0, ks_call_" #name "\n add x0, x0, :lo12:ks_call_" #name "\n"             \
	    "mov x1, x30\n add x2, sp, #16\n add x3, sp, #88\n"                              \
	    "bl ks_fails\n"                                                                  \
	    "and w9, w0, #0xff\n"                                                            \
	    "ldr x10, [sp, #88]\n"                                                           \
	    "ldp x0, x1, [sp, #16]\n ldp x2, x3, [sp, #32]\n ldp x4, x5, [sp, #48]\n"        \
	    "ldp x6, x7, [sp, #64]\n ldr x8, [sp, #80]\n"                                    \
	    "ldp x29, x30, [sp], #96\n"                                                      \
	    "cbnz w9, 1f\n"                                                                  \
	    "b " #name "\n"                                                                  \
	    "1: mov x0, x10\n ret\n"                                                         \
	    ".size kf_" #name ", . - kf_" #name "\n"                                         \
	    ".popsection\n");
#else
#error "no entries are written down for this machine"
#endif
#endif
