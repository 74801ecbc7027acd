# Sourced after packages.sh: Debian's kernels to build for and to boot, from pinned packages.

headers() { # headers 6.1|6.12: unpack what a module is built with; $build is the kernel's build folder
    kernel=$1
    case $kernel in
    6.1) release=6.1.0-50 version=6.1.176-1 suite=bookworm programs=linux-kbuild-6.1 ;;
    6.12)
        release=6.12.95+deb12 version=6.12.95-1~bpo12+1 suite=bookworm-backports
        programs=linux-kbuild-$release
        ;;
    *) untried "no kernel $kernel is pinned" ;;
    esac
    needs make gcc-12
    common=linux-headers-$release-common
    fetch "$suite" "$common=$version" "linux-headers-$release-cloud-amd64=$version" "$programs=$version"
    build=$root/usr/src/linux-headers-$release-cloud-amd64
    # The only absolute path in these headers.
    echo "include $root/usr/src/$common/Makefile" >"$build/Makefile"
}

image() { # image: after headers; $vmlinuz is the kernel to boot, $modules the folder of its own modules
    fetch "$suite" "linux-image-$release-cloud-amd64=$version"
    vmlinuz=$root/boot/vmlinuz-$release-cloud-amd64
    modules=$root/lib/modules/$release-cloud-amd64
}

kbuild() { # kbuild DIR [WORD...]: make in DIR with the kernel's headers; the words go to make
    directory=$1
    shift
    # Without pahole 6.12 would end with an error where the BTF is made.
    make -C "$build" M="$directory" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" 2>&1
}

module() { # module NAME: build NAME.c, which comes on the standard input; $ko is what came out
    mkdir -p "$work/$kernel/$1"
    cat >"$work/$kernel/$1/$1.c"
    echo "obj-m := $1.o" >"$work/$kernel/$1/Kbuild"
    kbuild "$work/$kernel/$1" modules >"$work/log" || {
        cat "$work/log" >&2
        untried "$1.ko could not be built for $kernel"
    }
    ko=$work/$kernel/$1/$1.ko
}

kmod() { # kmod 30|34: kmod for the guest: there insmod-30, modprobe-30 ... are its programs
    mkdir -p "$work/initramfs/bin" "$work/initramfs/kmod$1"
    kept=$root
    root=$work/kmod$1
    case $1 in
    30) fetch bookworm kmod=30+20221128-1 libc6=2.36-9+deb12u14 liblzma5=5.4.1-1+deb12u1 \
        libzstd1=1.5.4+dfsg2-5 libssl3=3.0.20-1~deb12u2 ;;
    34) fetch trixie kmod=34.2-2 libkmod2=34.2-2 libc6=2.41-12+deb13u5 liblzma5=5.8.1-1+deb13u2 libzstd1=1.5.7+dfsg-1 \
        libssl3t64=3.5.9-1~deb13u1 zlib1g=1:1.3.dfsg+really1.3.1-1+deb13u1 ;;
    esac
    for name in kmod ld-linux-x86-64.so.2 libc.so.6 libkmod.so.2 liblzma.so.5 libzstd.so.1 libcrypto.so.3 libz.so.1; do
        find "$root" -path '*/bin/*' -name "$name" -o -path '*/lib*/*' -name "$name" | head -n 1 |
            xargs -r -I '{}' cp -L '{}' "$work/initramfs/kmod$1/$name"
    done
    root=$kept
    for name in insmod modprobe depmod rmmod; do
        printf '#!/bin/sh\nexec /kmod%s/ld-linux-x86-64.so.2 --argv0 %s --library-path /kmod%s /kmod%s/kmod "$@"\n' \
            "$1" "$name" "$1" "$1" >"$work/initramfs/bin/$name-$1"
        chmod +x "$work/initramfs/bin/$name-$1"
    done
}

guest() { # guest FILE...: boot $vmlinuz with the files in /, run the script on the standard input; $said: its output
    needs qemu-system-x86_64
    fetch bookworm busybox-static=1:1.35.0-4+deb12u1+b1
    for directory in bin proc sys dev tmp; do mkdir -p "$work/initramfs/$directory"; done
    cp "$root/bin/busybox" "$work/initramfs/bin/"
    for file; do cp -a "$file" "$work/initramfs/"; done
    cat >"$work/initramfs/script"
    cat >"$work/initramfs/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/ttyS0 2>&1
stty -onlcr </dev/ttyS0
# What the kernel said since the last time, without the times.
printf '#!/bin/sh\ndmesg -c | sed "s/^.[0-9 .]*. //"\n' >/bin/log
chmod +x /bin/log
log >/dev/null
cd /
echo '<<<'
sh /script
echo '>>>'
poweroff -f
INIT
    chmod +x "$work/initramfs/init"
    (cd "$work/initramfs" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$work/initramfs.cpio"
    # A guest that dies before its script is no finding: it gets a second chance.
    boot || boot || {
        tail -n 20 "$work/console" >&2
        untried "the guest did not come to its end"
    }
    said=$(tr -d '\r' <"$work/console" | sed -n '/^<<<$/,/^>>>$/p' | sed '/^<<<$/d; /^>>>$/d')
    saw "$kernel" "$said"
}

boot() { # boot: one start of QEMU; succeeds where the script came to its end
    : >"$work/console"
    timeout 120 qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -smp "${cpus:-1}" -m 512 -nodefaults \
        -display none -no-reboot -serial "file:$work/console" -kernel "$vmlinuz" -initrd "$work/initramfs.cpio" \
        -append "console=ttyS0 quiet loglevel=0 mitigations=off panic=-1 ${append:-}" </dev/null || true
    grep -q '^>>>' "$work/console"
}
