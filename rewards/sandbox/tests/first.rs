//! Smoke.
#[test]
fn smoke() {
    let began = std::time::Instant::now();
    let sandbox = sandbox::Sandbox::probe().unwrap();
    println!("{:?} {:?}", began.elapsed(), sandbox.layers());
    let out = sandbox.run_python("a.py", &[("a.py", b"import os\nprint(os.listdir('/'), os.getuid(), os.listdir('/dev'))\nimport sys; print(sys.path)\nopen('x','w').write('1')\nprint(os.listdir('.'))\nopen('/etc/passwd')")], b"", false, &sandbox::Limits::default()).unwrap();
    println!("{:?} {} {}", out.end, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("{}", out.wall_seconds);
}
